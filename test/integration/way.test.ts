import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { parse } from "yaml";
import { clusterOf, mergeCluster, throughProxy } from "../../lib/k8s/kubeconfig.ts";
import { Kubectl } from "../../lib/k8s/kubectl.ts";
import { run } from "../../lib/process.ts";
import { createSparseQcow2, NodeShell, openTunnel, type Tunnel } from "../../lib/proxmox/index.ts";
import { isRunning, type Sandbox, startSandbox } from "../../lib/sandbox/index.ts";
import { ensureTool } from "../../lib/toolchain/index.ts";
import { PveApi } from "../support/pve.ts";
import { type EventLine, eventsOf, WorkingCopy } from "../support/working-copy.ts";

/** The whole way by the commands a person types, on a sandbox that they find running. */

const copy = new WorkingCopy();
const dir = join(copy.root, ".homelab", "sandbox");
const image = join(copy.home, "my image.qcow2");
const TEMPLATE = "alma9-k3-node-amd64-v1.35.6-v1";

let sandbox: Sandbox;
let tunnel: Tunnel;
let shell: NodeShell;
let kubectl: Kubectl;

before(async () => {
  sandbox = await startSandbox({ dir });
  await createSparseQcow2(image, 2 * 1024 ** 3);
});

after(async () => {
  await tunnel?.close();
  await shell?.close();
  await sandbox?.stop();
  copy.remove();
});

const kubeconfig = (): string => readFileSync(join(dir, "kubeconfig"), "utf8");
const resultOf = (events: readonly EventLine[]): EventLine => {
  const last = events.at(-1);
  assert.equal(last?.event, "result");
  return last as EventLine;
};

/** A kubectl of the test's own, through a tunnel of its own. */
async function ownKubectl(): Promise<Kubectl> {
  const { sshHost: host, sshUser: user, sshPort: port, sshConfigFile: configFile } = sandbox.endpoints;
  shell = new NodeShell({ host, user, port, configFile });
  tunnel = await openTunnel(shell, new AbortController().signal);
  const file = join(copy.home, "kubeconfig");
  writeFileSync(file, throughProxy(kubeconfig(), "k3s-single", tunnel.proxyUrl), { mode: 0o600 });
  return new Kubectl({
    program: (await ensureTool("kubectl")).path,
    kubeconfig: file,
    context: "k3s-single",
  });
}

/** Everything Kubernetes holds that a task could have changed. */
async function objects(): Promise<string> {
  const kinds = "deployments,statefulsets,services,configmaps,namespaces,appprojects.argoproj.io";
  const path =
    "jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.generation} {.metadata.uid}{'\\n'}{end}";
  // Argo CD keeps its own notes in an Application, which count as changes of it.
  const spec = "jsonpath={range .items[*]}{.metadata.name} {.metadata.uid} {.spec}{'\\n'}{end}";
  const both = [
    await kubectl.run(["get", kinds, "-A", "-o", path]),
    await kubectl.run(["get", "applications.argoproj.io", "-A", "-o", spec]),
  ];
  return both.map(({ stdout }) => stdout).join("\n");
}

describe("before anything is there", () => {
  test("deploy without an image says what is missing and how to give it", async () => {
    const { exitCode, stderr } = await copy.task("deploy", ["--sandbox", "--yes"]);
    assert.equal(exitCode, 1);
    assert.match(stderr, new RegExp(`There is no template ${TEMPLATE} on the node`));
    assert.match(stderr, /\$ npm run deploy -- --sandbox --image FILE\.qcow2/);
    assert.match(stderr, /Nothing was changed/);
  });

  test("status shows that nothing is there, and ends well", async () => {
    const { exitCode, stdout } = await copy.task("status", ["--sandbox"]);
    assert.equal(exitCode, 0);
    assert.match(
      stdout,
      new RegExp(`^Image +there is no ${TEMPLATE}\n +\\$ npm run build-image -- --sandbox$`, "m"),
    );
    assert.match(stdout, /^VMs +none\n +\$ npm run deploy -- --sandbox$/m);
    assert.match(
      stdout,
      /^Cluster +unknown: There is no context k3s-single.*\n[^$]*\$ npm run kubeconfig -- --sandbox$/m,
    );
    assert.match(stdout, /^Argo CD +unknown, for the same reason$/m);
  });

  test("kubeconfig says that the VMs come first", async () => {
    const { exitCode, stderr } = await copy.task("kubeconfig", ["--sandbox"]);
    assert.equal(exitCode, 1);
    assert.match(stderr, /k3s-single has no VMs yet[\s\S]*\$ npm run tf-apply -- --sandbox --env k3s-single/);
  });

  for (const name of ["k8s-bootstrap", "argo", "k8s-diff"]) {
    test(`${name} says that the kubeconfig comes first`, async () => {
      const { exitCode, stderr } = await copy.task(name, ["--sandbox", "--yes"]);
      assert.equal(exitCode, 1);
      assert.match(stderr, /There is no context k3s-single in .*\n[\s\S]*\$ npm run kubeconfig/);
    });
  }

  test("deploy --dry-run shows the commands and changes nothing", async () => {
    const { exitCode, stderr, stdout } = await copy.task("deploy", [
      "--sandbox",
      "--dry-run",
      "--image",
      image,
    ]);
    assert.equal(exitCode, 0);
    assert.equal(stdout, "");
    for (const command of [/qm create/, /tofu .* apply PLAN/, /kustomize build k8s\/argo \| kubectl apply/]) {
      assert.match(stderr, command);
    }
    assert.deepEqual(await new PveApi(sandbox.endpoints).vms(), []);
  });
});

describe("beside a real environment", () => {
  const state = join(copy.root, "terraform", "envs", "k3s-single", "terraform.tfstate");
  const real = JSON.stringify({
    version: 4,
    terraform_version: "1.12.6",
    serial: 3,
    lineage: "00000000-0000-0000-0000-000000000000",
    outputs: {},
    resources: [
      {
        mode: "managed",
        type: "terraform_data",
        name: "real",
        provider: 'provider["terraform.io/builtin/terraform"]',
        instances: [{ schema_version: 0, attributes: { id: "real" } }],
      },
    ],
  });

  test("the sandbox's commands neither read nor touch its state", async () => {
    writeFileSync(state, real);
    try {
      const { exitCode, stderr } = await copy.task("tf-init", ["--sandbox"]);
      assert.equal(exitCode, 0, stderr);
      assert.equal(readFileSync(state, "utf8"), real);
      assert.deepEqual(
        readdirSync(dirname(state)).filter((name) => /\.terraform|backup/.test(name)),
        [],
      );
    } finally {
      rmSync(state);
    }
  });
});

describe("deploy", () => {
  let first: EventLine[];

  test("makes template, VM, cluster, Argo CD and the root application", async () => {
    const result = await copy.task("deploy", ["--sandbox", "--yes", "--json", "--image", image]);
    assert.equal(result.exitCode, 0, result.stderr);
    first = eventsOf(result);
    const { ok, template, vm, argocd } = resultOf(first);
    assert.equal(ok, true);
    assert.equal(template, TEMPLATE);
    assert.deepEqual(vm, {
      vmid: 101,
      name: "k3s-s1",
      node: "pve",
      address: "10.23.45.31",
      user: "admin",
      context: "k3s-single",
    });
    assert.deepEqual(argocd, { namespace: "argocd", version: "3.5.7", ours: true });
    assert.ok(!result.stdout.includes(sandbox.endpoints.tokenSecret));
    assert.ok(!result.stderr.includes(sandbox.endpoints.tokenSecret));
  });

  test("leaves a VM as the specification has it", async () => {
    const config = await new PveApi(sandbox.endpoints).config(101);
    assert.equal(config.name, "k3s-s1");
    assert.equal(config.memory, "24576");
    assert.equal(config.cores, 4);
    assert.equal(config.bios, "ovmf");
    assert.match(String(config.scsi0), /^vmdata:.*discard=on.*size=32G.*ssd=1/);
    assert.match(String(config.ipconfig0), /gw=10\.23\.45\.1,ip=10\.23\.45\.31\/24/);
    assert.equal(config.nameserver, "10.23.45.1");
  });

  test("leaves a kubeconfig for its owner alone, with the VM's address and a proxy", () => {
    assert.equal(statSync(join(dir, "kubeconfig")).mode & 0o777, 0o600);
    const { server, proxyUrl } = clusterOf(kubeconfig(), "k3s-single") ?? {};
    assert.equal(server, "https://10.23.45.31:6443");
    assert.match(proxyUrl ?? "", /^socks5:\/\/127\.0\.0\.1:17\d{3}$/);
  });

  test("leaves a ready node and Argo CD's workloads running", async () => {
    kubectl = await ownKubectl();
    const { stdout } = await kubectl.run([
      "get",
      "pods",
      "-n",
      "argocd",
      "-o",
      "jsonpath={.items[*].status.phase}",
    ]);
    const phases = stdout.split(" ");
    assert.ok(phases.length >= 7);
    assert.deepEqual(new Set(phases), new Set(["Running"]));
  });

  test("leaves the root application and the project with the repository's address", async () => {
    const { stdout } = await kubectl.run(["get", "application/app-of-apps", "-n", "argocd", "-o", "json"]);
    const { spec } = JSON.parse(stdout) as {
      spec: { source: { repoURL: string; targetRevision: string; path: string } };
    };
    assert.deepEqual(spec.source, {
      repoURL: `file://${dir}/git/homelab`,
      targetRevision: "main",
      path: "k8s/clusters/home",
    });
    const project = await kubectl.run(["get", "appproject/default", "-n", "argocd", "-o", "json"]);
    assert.deepEqual((JSON.parse(project.stdout) as { spec: { sourceRepos: string[] } }).spec.sourceRepos, [
      `file://${dir}/git/homelab`,
    ]);
  });

  test("the second time changes nothing", async () => {
    const before = { objects: await objects(), kubeconfig: kubeconfig(), state: state() };
    const again = await copy.task("deploy", ["--sandbox", "--yes", "--json"]);
    assert.equal(again.exitCode, 0, again.stderr);
    const skipped = eventsOf(again).filter(({ state: each }) => each === "skipped");
    for (const [title, reason] of [
      ["Upload the image", /the template is there: VM 100/],
      ["Apply the plan to k3s-single", /everything is as configured/],
      ["Apply Argo CD 3.5.7", /there as configured/],
      ["Apply the project and the root application", /there as configured/],
    ] as const) {
      const step = skipped.find((each) => each.title === title);
      assert.match(String(step?.reason), reason, title);
    }
    assert.deepEqual({ objects: await objects(), kubeconfig: kubeconfig(), state: state() }, before);
    assert.equal((await new PveApi(sandbox.endpoints).vms()).length, 2);
  });

  /** tofu counts each change of its state. */
  function state(): unknown {
    return (
      parse(readFileSync(join(dir, "tofu", "k3s-single", "terraform.tfstate"), "utf8")) as { serial: number }
    ).serial;
  }
});

describe("what runs", () => {
  test("status shows all of it on one screen", async () => {
    const { exitCode, stdout } = await copy.task("status", ["--sandbox"]);
    assert.equal(exitCode, 0);
    assert.match(stdout, new RegExp(`^Image +${TEMPLATE} {2}100 on pve$`, "m"));
    assert.match(
      stdout,
      /^ +AlmaLinux 9 · amd64 · k3s v1\.35\.6\+k3s1 · built \d{4}-\d\d-\d\d \d\d:\d\d UTC · \d+ KiB$/m,
    );
    assert.match(stdout, /^VMs +k3s-s1 {2}running {2}10\.23\.45\.31\/24 {2}101 on pve$/m);
    assert.match(stdout, /^Cluster +k3s-s1 {2}Ready {2}v1\.35\.6\+k3s1$/m);
    assert.match(stdout, /^Argo CD +3\.5\.7 in argocd \(its (containers|controllers) /m);
    // What becomes of it is test/integration/gitops.test.ts's.
    assert.match(stdout, /^Applications +app-of-apps .* k8s\/clusters\/home$/m);
  });

  for (const [name, ...flags] of [
    ["tf-plan"],
    ["tf-apply", "--yes"],
    ["status"],
    ["kubeconfig"],
    ["k8s-bootstrap"],
    ["argo", "--yes"],
    ["k8s-diff"],
    ["images"],
  ] as const) {
    test(`${name} --json ends with its one result`, async () => {
      const events = eventsOf(await copy.task(name, ["--sandbox", "--json", ...flags]));
      assert.deepEqual(
        events.flatMap(({ event, ok }, at) => (event === "result" ? [[at, ok]] : [])),
        [[events.length - 1, true]],
      );
    });
  }

  test("a minute later all of it still runs: nodes stay ready, and so do Argo CD's workloads", async () => {
    const started = Number(
      new Date(
        (await kubectl.run(["get", "node", "k3s-s1", "-o", "jsonpath={.metadata.creationTimestamp}"])).stdout,
      ),
    );
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, started + 70_000 - Date.now())));
    const { stdout } = await kubectl.run([
      ...["get", "deployments", "-n", "argocd"],
      ...["-o", "jsonpath={range .items[*]}{.status.readyReplicas}/{.spec.replicas} {end}"],
    ]);
    assert.deepEqual(new Set(stdout.trim().split(" ")), new Set(["1/1"]));
    const events = await kubectl.run([
      "get",
      "events",
      "-A",
      "--field-selector=reason=NodeNotReady",
      "-o",
      "name",
    ]);
    assert.equal(events.stdout, "");
  });

  test("k8s-diff shows what the tree has and the cluster has not", async () => {
    const file = join(dir, "git", "homelab", "k8s", "clusters", "home", "infra", "phpipam-application.yaml");
    const text = readFileSync(file, "utf8");
    writeFileSync(file, text.replace('sync-wave: "10"', 'sync-wave: "11"'));
    const { exitCode, stdout } = await copy.task("k8s-diff", ["--sandbox"]);
    writeFileSync(file, text);
    assert.equal(exitCode, 0);
    assert.match(stdout, /^\+ +argocd\.argoproj\.io\/sync-wave: "11"$/m);
    assert.doesNotMatch(stdout, /Application\.argocd\.app-of-apps/);
  });

  test("kubeconfig brings back a context that was lost, and keeps what else is there", async () => {
    const file = join(copy.home, "mine");
    const mine = mergeCluster(undefined, {
      context: "work",
      server: "https://work.example.org",
      credentials: { certificateAuthority: "Q0E=", clientCertificate: "Q0VSVA==", clientKey: "S0VZ" },
    }).text;
    writeFileSync(file, mine);
    // With --sandbox the kubeconfig is the sandbox's own: what a person has set does not matter.
    const before = kubeconfig();
    writeFileSync(join(dir, "kubeconfig"), mine);
    const { exitCode, stderr } = await copy.task("kubeconfig", ["--sandbox"], { KUBECONFIG: file });
    assert.equal(exitCode, 0, stderr);
    assert.match(stderr, /The kubeconfig as it was is kept in .*kubeconfig\.backup-/);
    assert.match(
      stderr,
      /The current context stays work; switch with: kubectl config use-context k3s-single/,
    );
    assert.equal(readFileSync(file, "utf8"), mine);
    assert.equal(clusterOf(kubeconfig(), "work")?.server, "https://work.example.org");
    assert.deepEqual(clusterOf(kubeconfig(), "k3s-single"), clusterOf(before, "k3s-single"));
  });

  test("a context that leads elsewhere is not taken over unasked", async () => {
    const before = kubeconfig();
    const elsewhere = before.replace("https://10.23.45.31:6443", "https://10.9.9.9:6443");
    writeFileSync(join(dir, "kubeconfig"), elsewhere);
    const { exitCode, stderr } = await copy.task("kubeconfig", ["--sandbox"]);
    assert.equal(exitCode, 2);
    assert.match(stderr, /k3s-single leads to https:\/\/10\.9\.9\.9:6443 now; let it lead to/);
    assert.equal(kubeconfig(), elsewhere);
    writeFileSync(join(dir, "kubeconfig"), before);
  });

  test("an Argo CD that somebody else has installed is respected", async () => {
    await kubectl.run(["delete", "deployment", "argocd-server", "-n", "argocd", "--wait"]);
    const theirs = JSON.stringify({
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: {
        name: "argocd-server",
        namespace: "argocd",
        labels: { "app.kubernetes.io/name": "argocd-server" },
      },
      spec: {
        selector: { matchLabels: { app: "theirs" } },
        template: {
          metadata: { labels: { app: "theirs" } },
          spec: { containers: [{ name: "server", image: "quay.io/argoproj/argocd:v2.14.0" }] },
        },
      },
    });
    await kubectl.run(["create", "-f", "-"], { input: theirs });
    const { exitCode, stderr, stdout } = await copy.task("k8s-bootstrap", ["--sandbox"]);
    assert.equal(exitCode, 0, stderr);
    assert.match(stderr, /Argo CD 2\.14\.0 was installed by somebody else; it is used as it is/);
    assert.match(stdout, /Argo CD 2\.14\.0 is ready/);
    const kept = await kubectl.run(["get", "deployment", "argocd-server", "-n", "argocd", "-o", "name"]);
    assert.match(kept.stdout, /argocd-server/);
    await kubectl.run(["delete", "deployment", "argocd-server", "-n", "argocd", "--wait"]);
  });

  test("what somebody has removed of Argo CD is applied again", async () => {
    const { exitCode, stderr } = await copy.task("k8s-bootstrap", ["--sandbox"]);
    assert.equal(exitCode, 0, stderr);
    assert.match(stderr, /✔ Apply Argo CD 3\.5\.7/);
    const { stdout } = await kubectl.run([
      "get",
      "deployment",
      "argocd-server",
      "-n",
      "argocd",
      "-o",
      "name",
    ]);
    assert.match(stdout, /argocd-server/);
  });

  test("preflight finds the node, the template and nothing to complain about", async () => {
    const { exitCode, stdout, stderr } = await copy.task("preflight", [
      ...["--sandbox", "--only", "node,settings,tools,kustomize/home"],
    ]);
    assert.equal(exitCode, 0, stderr);
    assert.match(stderr, /^• node\/version +Proxmox VE 9\.2\.11$/m);
    assert.match(stderr, new RegExp(`^• node/template +${TEMPLATE} is VM 100 on pve$`, "m"));
    assert.match(stderr, /^• node\/vms +k3s-s1 is VM \d+ of these tasks/m);
    assert.equal(stdout, "23 checks passed\n");
  });

  test("the cluster goes on after the sandbox was restarted", async () => {
    await tunnel.close();
    await shell.close();
    await sandbox.stop();
    sandbox = await startSandbox({ dir });
    const { exitCode, stdout, stderr } = await copy.task("kubeconfig", ["--sandbox"]);
    assert.equal(exitCode, 0, stderr);
    assert.match(stdout, /^Context k3s-single is in /);
    kubectl = await ownKubectl();
    assert.match(
      (await kubectl.run(["get", "applications", "-n", "argocd", "-o", "name"])).stdout,
      /app-of-apps/,
    );
  });

  test("tf-destroy removes the VM and the cluster, and not the template", async () => {
    const { exitCode, stdout, stderr } = await copy.task("tf-destroy", [
      "--sandbox",
      "--env",
      "k3s-single",
      "--yes",
    ]);
    assert.equal(exitCode, 0, stderr);
    assert.match(stdout, /destroyed VM k3s-s1/);
    const vms = await new PveApi(sandbox.endpoints).vms();
    assert.deepEqual(
      vms.map(({ name }) => name),
      [TEMPLATE],
    );
  });
});

test("a task that uses the running sandbox leaves it running", async () => {
  assert.equal(isRunning(dir), true);
  assert.equal(existsSync(join(dir, "sandbox.json")), true);
  assert.equal((await run("git", ["--version"])).exitCode, 0);
});
