import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { parseAllDocuments, stringify } from "yaml";
import { TaskError } from "../../lib/errors.ts";
import { type Kustomize, kustomizeBuild } from "../../lib/k8s/index.ts";
import { pollUntil } from "../../lib/poll.ts";
import { run } from "../../lib/process.ts";
import { ControlPlane, PROGRAMS, type Program } from "../../lib/sandbox/control-plane/index.ts";
import { ROOT } from "../../lib/task/index.ts";
import { ensureTool } from "../../lib/toolchain/index.ts";
import { codeBlocks } from "../support/documents.ts";

/** Manifests of phpIPAM and of the documents, as far as they can be tried without containers: a real API server takes them. */

interface Container {
  readonly name: string;
  readonly resources?: { readonly requests?: object; readonly limits?: { readonly memory?: string } };
  readonly readinessProbe?: object;
  readonly livenessProbe?: object;
}

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec?: {
    readonly template?: { readonly spec: { readonly containers: readonly Container[] } };
    readonly source?: { readonly repoURL: string; readonly path: string };
    readonly destinations?: readonly { readonly namespace: string }[];
    readonly sourceRepos?: readonly string[];
  };
}

const dir = mkdtempSync(join(tmpdir(), "k8s-documents-"));
const doc = (name: string): string => readFileSync(join(ROOT, "docs", name), "utf8");
let kustomize: Kustomize;
let plane: ControlPlane;
let kubectl: (args: readonly string[], input?: string) => Promise<string>;

before(async () => {
  kustomize = { program: (await ensureTool("kustomize")).path, helm: (await ensureTool("helm")).path };
  const program = (await ensureTool("kubectl")).path;
  const programs = Object.fromEntries(
    await Promise.all(PROGRAMS.map(async (name) => [name, (await ensureTool(name)).path] as const)),
  ) as Record<Program, string>;
  plane = new ControlPlane(join(dir, "cluster"), programs);
  const node = {
    name: "k3s-s1",
    address: "10.23.45.31",
    cores: 2,
    memory: 2048,
    k3sVersion: "v1.35.6+k3s1",
  };
  await plane.start(node, [node], AbortSignal.timeout(120_000));
  const kubeconfig = plane.access?.kubeconfigFile("admin") ?? assert.fail("the cluster did not start");
  kubectl = async (args, input = "") =>
    (
      await run(program, [`--kubeconfig=${kubeconfig}`, `--cache-dir=${join(dir, "cache")}`, ...args], {
        input,
      })
    ).stdout;
  const upstream = readFileSync((await ensureTool("argocd-manifests")).path, "utf8");
  const crds = read(upstream).filter(({ kind }) => kind === "CustomResourceDefinition");
  await kubectl(["apply", "--server-side", "-f", "-"], crds.map((crd) => stringify(crd)).join("---\n"));
  // Until the API server has looked at a CRD it has no conditions, which `kubectl wait` takes for an error.
  await pollUntil(
    async () => {
      const kinds = await kubectl(["api-resources", "--api-group=argoproj.io", "-o", "name"]);
      return kinds.trim().split("\n").length === crds.length ? { value: true } : { pending: kinds };
    },
    { timeoutMs: 60_000, everyMs: 100, signal: AbortSignal.timeout(120_000) },
    (pending) => new TaskError({ what: "Argo CD's kinds are not served", why: pending }),
  );
  for (const name of ["argocd", "ipam", "whoami", "monitoring"]) await kubectl(["create", "namespace", name]);
});

after(async () => {
  await plane?.stop();
  rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
});

function read(text: string): Manifest[] {
  return parseAllDocuments(text).map((document) => document.toJS() as Manifest);
}

/** A real API server checks them and keeps nothing. */
async function accepts(manifests: string): Promise<string[]> {
  const flags = ["--server-side", "--dry-run=server", "--validate=strict", "-o", "name"];
  return (await kubectl(["apply", ...flags, "-f", "-"], manifests)).trim().split("\n").sort();
}

/** A copy of k8s/ to write into. */
function copyOfK8s(name: string): string {
  const copy = join(dir, name);
  cpSync(join(ROOT, "k8s"), join(copy, "k8s"), {
    recursive: true,
    filter: (path) => !/\/charts(\/|$)/.test(path),
  });
  return copy;
}

/** Write the YAML blocks of a page that begin with the path of a file. */
function writeBlocks(page: string, root: string): string[] {
  return codeBlocks(page).flatMap(({ text }) => {
    const [, path] = /^# (k8s\/\S+\.yaml)\n/.exec(text) ?? [];
    if (path === undefined) return [];
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
    return [path];
  });
}

/** What stands in for the chart, with probes of its own or without, as later versions may have them. */
function phpipam(name: string, probes: string): string {
  const folder = join(copyOfK8s(name), "k8s/clusters/home/infra/phpipam");
  const chart = join(folder, "charts", "phpipam-1.0.1", "phpipam");
  cpSync(join(ROOT, "lib/sandbox/stand-in-charts/phpipam"), chart, { recursive: true });
  const template = join(chart, "templates", "all.yaml");
  const text = readFileSync(template, "utf8");
  const changed = text.replace(/^( +)resources: \{\{ toJson/m, `${probes}$1resources: {{ toJson`);
  assert.equal(changed !== text, probes !== "");
  writeFileSync(template, changed);
  return folder;
}

describe("phpIPAM", () => {
  for (const [name, probes] of [
    ["a chart without probes", ""],
    ["a chart with probes of another kind", "          livenessProbe: {httpGet: {path: /, port: 80}}\n"],
  ] as const) {
    test(`from ${name} has limits, and probes where they help, and is accepted`, async () => {
      const rendered = await kustomizeBuild(kustomize, phpipam(name.replaceAll(" ", "-"), probes));
      const deployment = read(rendered).find(({ kind }) => kind === "Deployment");
      const containers = deployment?.spec?.template?.spec.containers ?? [];
      assert.deepEqual(containers.map((each) => each.name).sort(), [
        "phpipam-cron",
        "phpipam-mariadb",
        "phpipam-web",
      ]);
      for (const { name: container, resources } of containers) {
        assert.ok(resources?.requests, container);
        assert.ok(resources.limits?.memory, container);
      }
      const [web, database] = ["phpipam-web", "phpipam-mariadb"].map((each) =>
        containers.find((container) => container.name === each),
      );
      assert.deepEqual(web?.readinessProbe, { tcpSocket: { port: 80 } });
      assert.deepEqual(web?.livenessProbe, {
        tcpSocket: { port: 80 },
        initialDelaySeconds: 30,
        failureThreshold: 6,
      });
      assert.deepEqual(database?.readinessProbe, { tcpSocket: { port: 3306 } });
      const names = await accepts(rendered);
      assert.ok(names.includes("deployment.apps/phpipam"));
      assert.ok(names.includes("networkpolicy.networking.k8s.io/only-web-from-outside"));
    });
  }

  test("lets the web port in from anywhere, all else from its namespace alone", () => {
    const [policy] = read(
      readFileSync(join(ROOT, "k8s/clusters/home/infra/phpipam/network-policy.yaml"), "utf8"),
    );
    assert.deepEqual(policy?.spec, {
      podSelector: {},
      policyTypes: ["Ingress"],
      ingress: [{ ports: [{ protocol: "TCP", port: 80 }] }, { from: [{ podSelector: {} }] }],
    });
    assert.equal(policy?.metadata.namespace, "ipam");
  });
});

describe("docs/applications.md", () => {
  let root: string;
  before(() => {
    root = copyOfK8s("applications");
    const written = writeBlocks(doc("applications.md"), root);
    assert.equal(written.length, 4, `${written}`);
  });

  test("has an Application that the root application finds, with the repository's address filled in", async () => {
    const rendered = await kustomizeBuild(kustomize, join(root, "k8s/clusters/home"));
    const application = read(rendered).find(({ metadata }) => metadata.name === "whoami");
    const other = read(rendered).find(({ metadata }) => metadata.name === "phpipam");
    assert.equal(application?.spec?.source?.path, "k8s/clusters/home/apps/whoami");
    assert.equal(application?.spec?.source?.repoURL, other?.spec?.source?.repoURL);
    assert.ok((await accepts(rendered)).includes("application.argoproj.io/whoami"));
  });

  test("has workloads that are accepted, in their namespace", async () => {
    const rendered = await kustomizeBuild(kustomize, join(root, "k8s/clusters/home/apps/whoami"));
    for (const { kind, metadata } of read(rendered)) assert.equal(metadata.namespace, "whoami", kind);
    assert.deepEqual(await accepts(rendered), ["deployment.apps/whoami", "service/whoami"]);
  });
});

describe("docs/monitoring.md", () => {
  const blocks = codeBlocks(doc("monitoring.md"))
    .filter(({ language }) => language === "yaml")
    .map(({ text }) => text);
  const blockOf = (kind: string): string =>
    blocks.find((text) => text.includes(`\nkind: ${kind}\n`)) ?? assert.fail(kind);

  test("has a project and an Application that are accepted and get the repository's address", async () => {
    const root = copyOfK8s("monitoring");
    const argo = join(root, "k8s/argo");
    writeFileSync(join(argo, "projects/monitoring-project.yaml"), blockOf("AppProject"));
    const list = join(argo, "kustomization.yaml");
    writeFileSync(
      list,
      readFileSync(list, "utf8").replace(
        "resources:\n",
        "resources:\n  - projects/monitoring-project.yaml\n",
      ),
    );
    const infra = join(root, "k8s/clusters/home/infra");
    writeFileSync(join(infra, "monitoring-application.yaml"), blockOf("Application"));
    writeFileSync(join(infra, "kustomization.yaml"), "resources: [monitoring-application.yaml]\n");
    const projects = await kustomizeBuild(kustomize, argo);
    const project = read(projects).find(({ metadata }) => metadata.name === "monitoring");
    assert.match(project?.spec?.sourceRepos?.[0] ?? "", /^https:/);
    assert.ok((await accepts(projects)).includes("appproject.argoproj.io/monitoring"));
    const applications = await kustomizeBuild(kustomize, join(root, "k8s/clusters/home"));
    assert.deepEqual(await accepts(applications), ["application.argoproj.io/monitoring"]);
  });
});

describe("docs/access-control.md", () => {
  /** The kubectl commands of a page that hold a word, as arguments, without the context. */
  const commands = (page: string, word: string): string[][] =>
    codeBlocks(page).flatMap(({ text }) =>
      text
        .split("\n")
        .filter((line) => line.startsWith("kubectl ") && line.includes(word))
        .map((line) => line.split(/\s+/).filter((each) => !/^(kubectl|--context=.*)$/.test(each))),
    );

  test("makes an account that may look, and nothing else", async () => {
    const page = doc("access-control.md");
    for (const args of commands(page, " create ")) await kubectl(args);
    const questions = commands(page, " can-i ");
    const answers: string[] = [];
    for (const args of questions) {
      // "no" is also an exit code.
      const answer = await kubectl(args).catch((error: unknown) => (error as { stdout: string }).stdout);
      answers.push(answer.trim().split("\n").at(-1) ?? "");
    }
    assert.deepEqual(answers, ["yes", "no", "no"]);
  });

  test("has an RBAC ConfigMap that kustomize and the API server take", async () => {
    const text = codeBlocks(doc("access-control.md")).find((block) => block.text.includes("argocd-rbac-cm"));
    const folder = join(dir, "rbac");
    mkdirSync(folder);
    writeFileSync(join(folder, "argocd-rbac-cm.yaml"), text?.text ?? "");
    writeFileSync(
      join(folder, "upstream.yaml"),
      "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: argocd-rbac-cm\n",
    );
    writeFileSync(
      join(folder, "kustomization.yaml"),
      "namespace: argocd\nresources: [upstream.yaml]\npatches: [{path: argocd-rbac-cm.yaml}]\n",
    );
    const rendered = await kustomizeBuild(kustomize, folder);
    assert.match(rendered, /policy\.default: role:readonly/);
    assert.deepEqual(await accepts(rendered), ["configmap/argocd-rbac-cm"]);
  });
});

test("a manifest with a misspelt field is refused: the checks above can fail", async () => {
  const rendered = stringify({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "x", namespace: "ipam" },
    spec: { ports: [{ port: 80 }], selektor: {} },
  });
  await assert.rejects(accepts(rendered), /selektor/);
});
