import assert from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { commitAll } from "../../lib/git.ts";
import {
  applications,
  demandNamespaces,
  notShared,
  syncFailure,
  writeRepository,
} from "../../lib/k8s/index.ts";
import { ensureTool } from "../../lib/toolchain/index.ts";
import { type OwnCluster, startCluster } from "../support/cluster.ts";
import { commandsIn, paste, type Refusal, refusalOf } from "../support/refusals.ts";
import { WorkingCopy } from "../support/working-copy.ts";

/**
 * What goes wrong in a cluster, and what is said of it: the section "Kubernetes Deployment Failures" of the specification, on a real
 * control plane. Each test is called after the line that it proves.
 */

const CONTEXT = "k3s-single";
const copy = new WorkingCopy();
const fork = join(copy.home, "fork");
const FORK = `file://${fork}`;
const ROOT_MANIFESTS = "k8s/argo";
const BOOTSTRAP = "k8s/clusters/home/bootstrap";

let cluster: OwnCluster;
/** Folders with kubectl and kustomize, as a person has them on PATH. */
let folders: readonly string[];

before(async () => {
  const tools = [await ensureTool("kubectl"), await ensureTool("kustomize"), await ensureTool("helm")];
  folders = tools.map(({ path }) => dirname(path));
  // A person has pushed this tree, and it names the repository. Its upstream file lies beside it: commands that are
  // pasted here reach no other machine.
  await writeRepository(copy.root, { repoURL: FORK, targetRevision: "main" });
  cpSync((await ensureTool("argocd-manifests")).path, join(copy.root, BOOTSTRAP, "install.yaml"));
  changed(join(BOOTSTRAP, "kustomization.yaml"), (text) =>
    text.replace(/^( {2}- )https:\S+$/m, "$1install.yaml"),
  );
  mkdirSync(fork);
  cpSync(join(copy.root, "k8s"), join(fork, "k8s"), { recursive: true });
  await commitAll(fork, "The manifests");
  cluster = await startCluster(copy.home, CONTEXT);
});

after(async () => {
  await cluster?.stop();
  copy.remove();
});

/** Change a file of the working copy; returns what changes it back. */
function changed(path: string, change: (text: string) => string): () => void {
  const file = join(copy.root, path);
  const text = readFileSync(file, "utf8");
  writeFileSync(file, change(text));
  return () => writeFileSync(file, text);
}

async function refused(
  task: string,
  { kubeconfig = cluster.kubeconfig, flags = ["--yes"], ...env }: RefusedOptions = {},
): Promise<Refusal> {
  const settings = {
    CLUSTER_ACCESS: "direct",
    KUBECONFIG: kubeconfig,
    GIT_REPO_URL: FORK,
    GIT_REVISION: "main",
  };
  return await refusalOf(copy, task, flags, { ...settings, ...env });
}

interface RefusedOptions {
  readonly kubeconfig?: string;
  readonly flags?: readonly string[];
  readonly GIT_REPO_URL?: string;
  readonly GIT_REVISION?: string;
}

async function kubectl(args: readonly string[], input?: object): Promise<string> {
  const options = input === undefined ? {} : { input: JSON.stringify(input) };
  return (await cluster.kubectl.run(args, options)).stdout;
}

/** Paste a command that a message advises, at the working copy's root. */
function pasted(command = "no command was advised"): ReturnType<typeof paste> {
  return paste(command, { folders, cwd: copy.root });
}

function deployment(namespace: string, name: string, labels: Record<string, string> = {}): object {
  const app = { app: name };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace, labels },
    spec: {
      selector: { matchLabels: app },
      template: {
        metadata: { labels: app },
        spec: { containers: [{ name, image: "registry.example.org/it:v1.2.3" }] },
      },
    },
  };
}

/** Wait for what a controller does in its own time. */
async function until(isSo: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await isSo())) {
    assert.ok(Date.now() < deadline, "it did not become so within 30 s");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Whether Argo CD, or anything else, was put into its namespace. */
async function nothingInstalled(): Promise<void> {
  assert.equal(await kubectl(["get", "deployments,statefulsets", "-n", "argocd", "-o", "name"]), "");
}

describe("Argo CD Installation Failures", () => {
  test("Argo CD Installation Failures · Verify cluster connectivity", async () => {
    const file = join(copy.home, "kubeconfig-nowhere");
    writeFileSync(
      file,
      readFileSync(cluster.kubeconfig, "utf8").replace(/server: .*/, "server: https://127.0.0.1:1"),
    );
    for (const task of ["k8s-bootstrap", "argo", "k8s-diff"]) {
      const flags = task === "k8s-diff" ? [] : ["--yes"];
      const { exitCode, what, why, todo } = await refused(task, { kubeconfig: file, flags });
      assert.equal(exitCode, 1);
      assert.equal(what, `The cluster ${CONTEXT} cannot be used`);
      assert.match(why, /^The Kubernetes API does not answer\n.*127\.0\.0\.1:1.*refused/);
      assert.match(todo, /^\$ npm run status$/m);
      assert.match(todo, /sudo systemctl status k3s; sudo journalctl -u k3s -n 50/);
      assert.match(todo, /CLUSTER_ACCESS=jump/);
    }
  });

  test("Argo CD Installation Failures · Verify cluster connectivity · another cluster answers there", async () => {
    const { what, why, todo } = await refused("k8s-bootstrap", {
      kubeconfig: cluster.kubeconfigFor("stranger", "nobody-knows-this-token"),
    });
    assert.equal(what, `The cluster ${CONTEXT} cannot be used`);
    assert.match(why, /does not accept the kubeconfig/);
    assert.deepEqual(commandsIn(todo), ["npm run kubeconfig"]);
  });

  test("Argo CD Installation Failures · Check for existing Argo CD installation", async () => {
    await kubectl(["create", "namespace", "gitops"]);
    const labels = { "app.kubernetes.io/name": "argocd-server" };
    await kubectl(["create", "-f", "-"], deployment("gitops", "argocd-server", labels));
    const { what, why, todo, left } = await refused("k8s-bootstrap");
    assert.equal(what, "Another Argo CD runs in this cluster already");
    assert.match(why, /^It is in the namespace gitops, and two would fight/);
    assert.match(todo, /move the Applications in k8s\/ to the namespace gitops/);
    assert.equal(left, "Nothing was changed");
    await nothingInstalled();
    await kubectl(["delete", "namespace", "gitops", "--wait"]);
  });
});

describe("Resource Creation Failures · Check for namespace conflicts", () => {
  const title = "Resource Creation Failures · Check for namespace conflicts";

  test(`${title} · it is being removed`, async () => {
    await kubectl(["create", "namespace", "argocd"]);
    const kept = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "kept", namespace: "argocd" } };
    const finalizers = ["example.org/nobody"];
    await kubectl(["create", "-f", "-"], { ...kept, metadata: { ...kept.metadata, finalizers } });
    await kubectl(["delete", "namespace", "argocd", "--wait=false"]);
    const { what, why, todo, left } = await refused("k8s-bootstrap");
    assert.equal(what, "The namespace argocd is being removed");
    assert.match(why, /^Since \d{4}-.*; until it is gone, Argo CD cannot be put there$/);
    assert.equal(left, "Nothing was changed");
    const [wait, status] = commandsIn(todo);
    await until(() => /finalizers.*example\.org\/nobody/.test(pasted(status).stdout));
    await kubectl(["patch", "configmap", "kept", "-n", "argocd", "-p", '{"metadata":{"finalizers":null}}']);
    assert.equal(pasted(wait).exit, 0);
  });

  test(`${title} · Helm manages it`, async () => {
    await kubectl(["create", "namespace", "argocd"]);
    await kubectl(["annotate", "namespace", "argocd", "meta.helm.sh/release-name=argo"]);
    const { what, why, todo, left } = await refused("k8s-bootstrap");
    assert.equal(what, "The namespace argocd belongs to somebody else");
    assert.match(why, /^Helm \(release argo\) manages it, and would undo what Argo CD needs there/);
    assert.match(todo, /helm list --all-namespaces/);
    assert.match(pasted(commandsIn(todo)[0]).stdout, /meta\.helm\.sh\/release-name: argo/);
    assert.equal(left, "Nothing was changed");
    await nothingInstalled();
    await kubectl(["delete", "namespace", "argocd", "--wait"]);
  });

  test(`${title} · somebody else's workloads run there`, async () => {
    await kubectl(["create", "namespace", "argocd"]);
    await kubectl(["create", "-f", "-"], deployment("argocd", "theirs"));
    // Nobody is there to be asked.
    const { exitCode, why: question, todo } = await refused("k8s-bootstrap", { flags: [] });
    assert.equal(exitCode, 2);
    assert.match(todo, /--yes/);
    assert.match(question, /deployment\/theirs runs in the namespace argocd already/);
    // What somebody is told who is asked and says no.
    const claim = { namespace: "argocd", tenant: "Argo CD" };
    const [company] = await demandNamespaces(cluster.kubectl, [claim]);
    assert.ok(company !== undefined);
    const error = notShared(cluster.kubectl, company);
    assert.equal(error.what, "The namespace argocd is used by somebody else");
    assert.equal(
      error.why,
      "deployment/theirs runs there, and Argo CD would overwrite objects of the same names",
    );
    assert.deepEqual(error.left, ["Nothing was changed"]);
    const [look, remove] = commandsIn(error.todo.join("\n"));
    assert.match(pasted(look).stdout, /deployment\.apps\/theirs/);
    assert.equal(pasted(remove).exit, 0);
    assert.equal(await kubectl(["get", "namespace", "argocd", "--ignore-not-found", "-o", "name"]), "");
  });
});

describe("Resource Creation Failures · Validate RBAC permissions", () => {
  let viewer: string;
  let nobody: string;

  before(async () => {
    await kubectl(["create", "serviceaccount", "viewer", "-n", "default"]);
    await kubectl(["create", "serviceaccount", "nobody", "-n", "default"]);
    const binding = ["create", "clusterrolebinding", "viewer", "--clusterrole=view"];
    await kubectl([...binding, "--serviceaccount=default:viewer"]);
    viewer = cluster.kubeconfigFor("viewer", (await kubectl(["create", "token", "viewer"])).trim());
    nobody = cluster.kubeconfigFor("nobody", (await kubectl(["create", "token", "nobody"])).trim());
  });

  test("Resource Creation Failures · Validate RBAC permissions · k8s-bootstrap", async () => {
    const { what, why, todo, left } = await refused("k8s-bootstrap", { kubeconfig: viewer });
    assert.equal(what, "The kubeconfig's user may not install Argo CD");
    assert.match(why, /^The cluster k3s-single does not allow it to$/m);
    for (const each of [
      "create namespaces",
      "patch clusterroles.rbac.authorization.k8s.io",
      "create deployments.apps in the namespace argocd",
      "patch networkpolicies.networking.k8s.io in the namespace argocd",
    ]) {
      assert.match(why, new RegExp(`^ {2}${each.replaceAll(".", "\\.")}$`, "m"));
    }
    assert.equal(left, "Nothing was changed");
    const [fetch, canI] = commandsIn(todo);
    assert.equal(fetch, "npm run kubeconfig");
    assert.match(canI ?? "", /^kubectl --kubeconfig=\S+ --context=k3s-single auth can-i create /);
    assert.equal(pasted(canI).stdout, "no\n");
    assert.equal(await kubectl(["get", "namespace", "argocd", "--ignore-not-found", "-o", "name"]), "");
  });

  test("Resource Creation Failures · Validate RBAC permissions · a user who may not even look", async () => {
    const { what, why, todo } = await refused("k8s-bootstrap", { kubeconfig: nobody });
    assert.equal(what, "The cluster k3s-single cannot be used");
    assert.match(
      why,
      /may not do this\n.*User "system:serviceaccount:default:nobody" cannot list resource "deployments"/,
    );
    const [fetch, list] = commandsIn(todo);
    assert.equal(fetch, "npm run kubeconfig");
    assert.match(pasted(list).stdout, /selfsubjectaccessreviews/);
  });
});

describe("with refusals of the cluster itself", () => {
  /** What the API server refuses, whoever asks. */
  async function forbid(name: string, resource: object): Promise<void> {
    const policy = { apiVersion: "admissionregistration.k8s.io/v1", metadata: { name } };
    const resourceRules = [{ apiVersions: ["*"], operations: ["CREATE", "UPDATE"], ...resource }];
    const message = "not on my watch";
    await kubectl(["create", "-f", "-"], {
      ...policy,
      kind: "ValidatingAdmissionPolicy",
      spec: { matchConstraints: { resourceRules }, validations: [{ expression: "false", message }] },
    });
    await kubectl(["create", "-f", "-"], {
      ...policy,
      kind: "ValidatingAdmissionPolicyBinding",
      spec: { policyName: name, validationActions: ["Deny"] },
    });
  }

  async function allow(name: string): Promise<void> {
    await kubectl(["delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", name]);
  }

  async function isDenied(manifest: object): Promise<boolean> {
    const { exitCode } = await cluster.kubectl.run(["create", "--dry-run=server", "-f", "-"], {
      input: JSON.stringify(manifest),
      allow: [0, 1],
    });
    return exitCode === 1;
  }

  test("Argo CD Installation Failures · Provide manual installation fallback", async () => {
    await forbid("no-deployments", { apiGroups: ["apps"], resources: ["deployments"] });
    const probe = deployment("default", "probe");
    await until(async () => await isDenied(probe));
    const { what, why, todo, left } = await refused("k8s-bootstrap");
    assert.equal(what, "Argo CD was not installed completely");
    assert.match(why, /argocd-server.*not on my watch/);
    assert.match(left, /What was applied before the failure stays in the namespace argocd/);
    // What was applied before it is there, and the commands show it.
    const [byHand, look, events] = commandsIn(todo);
    assert.match(pasted(look).stdout, /service\/argocd-server/);
    assert.equal(pasted(events).exit, 0);
    await allow("no-deployments");
    await until(async () => !(await isDenied(probe)));
    // The same by hand goes on from there.
    const { exit, stdout, stderr } = pasted(byHand);
    assert.equal(exit, 0, stderr);
    assert.match(stdout, /deployment\.apps\/argocd-server serverside-applied/);
  });

  test("Argo CD Installation Failures · Provide manual installation fallback · fields of somebody else's", async () => {
    const theirs = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "argocd-cm", namespace: "argocd" },
      data: { "kustomize.buildOptions": "--load-restrictor LoadRestrictionsNone" },
    };
    const flags = ["--server-side", "--force-conflicts", "--field-manager=ann"];
    await kubectl(["apply", ...flags, "-f", "-"], theirs);
    // What is left of it there is our own: nobody is asked whether the namespace may be shared.
    await kubectl(["delete", "deployment", "argocd-server", "-n", "argocd", "--wait"]);
    const { what, why, todo } = await refused("k8s-bootstrap", { flags: [] });
    assert.equal(what, "Argo CD was not installed completely");
    assert.match(why, /conflict with "ann"/);
    const [byHand] = commandsIn(todo);
    assert.match(
      byHand ?? "",
      /^kustomize build \S+ \| kubectl .* apply --server-side .* --force-conflicts$/,
    );
    const { exit, stderr } = pasted(byHand);
    assert.equal(exit, 0, stderr);
    const path = "jsonpath={.data.kustomize\\.buildOptions}";
    assert.equal(
      await kubectl(["get", "configmap", "argocd-cm", "-n", "argocd", "-o", path]),
      "--enable-helm",
    );
  });

  test("Resource Creation Failures · Provide kubectl commands for manual verification", async () => {
    await forbid("no-applications", { apiGroups: ["argoproj.io"], resources: ["applications"] });
    const probe = {
      apiVersion: "argoproj.io/v1alpha1",
      kind: "Application",
      metadata: { name: "probe", namespace: "argocd" },
      spec: { project: "default", destination: {}, source: { repoURL: FORK } },
    };
    await until(async () => await isDenied(probe));
    const { what, why, todo, left } = await refused("argo");
    assert.equal(what, "The root application was not applied");
    assert.match(why, /not on my watch/);
    assert.equal(left, "Nothing was changed");
    await allow("no-applications");
    await until(async () => !(await isDenied(probe)));
    const [look, diff, apply] = commandsIn(todo);
    assert.equal(pasted(look).exit, 0);
    // 1: there are differences.
    const shown = pasted(diff);
    assert.equal(shown.exit, 1, shown.stderr);
    assert.match(shown.stdout, /^\+ {2}name: app-of-apps$/m);
    assert.equal(pasted(apply).exit, 0);
    assert.match(pasted(look).stdout, /app-of-apps/);
  });
});

describe("Application Sync Failures", () => {
  test("Application Sync Failures · Validate Git repository accessibility", async () => {
    const { exitCode, what, why, todo } = await refused("argo", { GIT_REPO_URL: "file:///nowhere/homelab" });
    assert.equal(exitCode, 1);
    assert.equal(what, "The Git repository file:///nowhere/homelab cannot be read");
    assert.match(why, /does not (exist|appear to be a git repository)/);
    assert.match(todo, /Check GIT_REPO_URL/);
    assert.match(todo, /argocd repo add/);
    const [look] = commandsIn(todo);
    assert.equal(look, "git ls-remote file:///nowhere/homelab");
    await writeRepository(copy.root, { repoURL: FORK, targetRevision: "main" });
  });

  test("Application Sync Failures · Validate Git repository accessibility · the revision is not there", async () => {
    const { what, todo } = await refused("argo", { GIT_REVISION: "v9" });
    assert.equal(what, `${FORK} has no v9`);
    assert.match(todo, /Set GIT_REVISION to a branch, tag or commit that is pushed/);
    assert.match(pasted(commandsIn(todo)[0]).stdout, /refs\/heads\/main/);
    await writeRepository(copy.root, { repoURL: FORK, targetRevision: "main" });
  });

  for (const [where, path, line, why] of [
    [
      "below the root",
      "k8s/clusters/home/infra/phpipam-application.yaml",
      "  bad: : line\n",
      /mapping values are not allowed in this context in File: phpipam-application\.yaml/,
    ],
    [
      "below an Application",
      "k8s/clusters/home/infra/phpipam/namespace.yaml",
      "  bad: : line\n",
      /mapping values are not allowed in this context in File: namespace\.yaml/,
    ],
    [
      "a file that is not there",
      "k8s/clusters/home/apps/kustomization.yaml",
      "\nconfigurations: [nosuch.yaml]\n",
      /nosuch\.yaml/,
    ],
  ] as const) {
    test(`Application Sync Failures · Check manifest syntax with kustomize build · ${where}`, async () => {
      const restore = changed(path, (text) => text + line);
      const told = await refused("argo");
      restore();
      assert.match(told.what, /k8s\/clusters\/home(\/infra\/phpipam)? does not render$/);
      assert.match(told.why, why);
      assert.doesNotMatch(told.why, /homelab-render-/);
      assert.match(told.todo, /^\$ kustomize build --enable-helm \S*k8s\/clusters\/home/m);
      assert.equal(told.left, "Nothing was changed");
    });
  }

  test("Application Sync Failures · Check manifest syntax with kustomize build · a chart's values", async () => {
    const path = "k8s/clusters/home/infra/phpipam/values.yaml";
    const restore = changed(path, (text) => `${text}\nbad: : line\n`);
    const { what, why, left } = await refused("argo");
    restore();
    assert.match(what, /phpipam\/values\.yaml is not YAML$/);
    assert.match(why, /at line \d+/);
    assert.equal(left, "Nothing was changed");
  });

  // Argo CD's own words, as its controller writes them into the Application.
  const PROBLEMS = [
    [
      "Manifests cannot be made",
      "ComparisonError",
      "Failed to load target state: failed to generate manifest for source 1 of 1: rpc error: code = Unknown desc = Manifest generation error (cached): `kustomize build <path to cached source>/k8s/clusters/home --enable-helm` failed exit status 1",
      /^\$ kustomize build --enable-helm k8s\/clusters\/home$/m,
    ],
    [
      "the repository is private",
      "ComparisonError",
      "Failed to load target state: failed to generate manifest for source 1 of 1: rpc error: code = Unknown desc = failed to list refs: authentication required",
      /^\$ argocd repo add GIT_REPO_URL /m,
    ],
  ] as const;
  for (const [when, type, message, hint] of PROBLEMS) {
    test(`Application Sync Failures · Provide Argo CD UI URL for debugging · ${when}`, async () => {
      const status = { conditions: [{ type, message, lastTransitionTime: new Date().toISOString() }] };
      const patch = ["patch", "application", "app-of-apps", "-n", "argocd", "--type=merge"];
      await kubectl([...patch, "-p", JSON.stringify({ status })]);
      const found = (await applications(cluster.kubectl)).find(({ name }) => name === "app-of-apps");
      assert.ok(found?.problem !== undefined);
      const { what, why, todo, left } = syncFailure(cluster.kubectl, found);
      const text = todo.join("\n");
      assert.equal(what, "Argo CD cannot sync the Application app-of-apps");
      assert.equal(why, `${type}: ${message}`);
      assert.deepEqual(left, ["The Application stays; Argo CD tries again by itself"]);
      assert.match(text, hint);
      assert.match(text, /https:\/\/localhost:8443\/applications\/argocd\/app-of-apps/);
      const commands = commandsIn(text);
      assert.ok(commands.some((each) => each.endsWith("port-forward service/argocd-server 8443:443")));
      const describing = commands.find((each) => each.includes(" describe "));
      assert.match(pasted(describing).stdout, new RegExp(`${type}`));
    });
  }
});

describe("Resource Creation Failures · Check for namespace conflicts, of an Application", () => {
  const title =
    "Resource Creation Failures · Check for namespace conflicts · the namespace of an Application";

  test(`${title}: somebody else's workloads run there`, async () => {
    await kubectl(["create", "namespace", "ipam"]);
    await kubectl(["create", "-f", "-"], deployment("ipam", "phpipam"));
    const { exitCode, why: question } = await refused("argo", { flags: [] });
    assert.equal(exitCode, 2);
    assert.match(
      question,
      /deployment\/phpipam runs in the namespace ipam already, and is none of Argo CD's/,
    );
    // What Argo CD has made of the Application is no conflict: then other things are looked at.
    const annotation = "argocd.argoproj.io/tracking-id=phpipam:apps/Deployment:ipam/phpipam";
    await kubectl(["annotate", "deployment", "phpipam", "-n", "ipam", annotation]);
    const restore = changed(`${ROOT_MANIFESTS}/projects/default-project.yaml`, (text) =>
      text.replace("kind: AppProject", "kind: NoSuchKind"),
    );
    const next = await refused("argo", { flags: [] });
    restore();
    assert.doesNotMatch(`${next.what}\n${next.why}`, /runs in the namespace/);
  });

  test(`${title}: another Application manages it`, async () => {
    const annotation = "argocd.argoproj.io/tracking-id=other:/Namespace:ipam/ipam";
    await kubectl(["annotate", "namespace", "ipam", annotation]);
    const { what, why, left } = await refused("argo");
    assert.equal(what, "The namespace ipam belongs to somebody else");
    assert.match(why, /^Argo CD's Application other manages it, and would undo what the Application phpipam/);
    assert.equal(left, "Nothing was changed");
  });
});
