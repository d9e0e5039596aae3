import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Application } from "../../lib/k8s/index.ts";
import { throughProxy } from "../../lib/k8s/kubeconfig.ts";
import { Kubectl } from "../../lib/k8s/kubectl.ts";
import { run } from "../../lib/process.ts";
import { createSparseQcow2, NodeShell, openTunnel, type Tunnel } from "../../lib/proxmox/index.ts";
import { type Sandbox, startSandbox } from "../../lib/sandbox/index.ts";
import { ensureTool } from "../../lib/toolchain/index.ts";
import { gitOpsTools, syncingProcesses } from "../support/gitops.ts";
import { listeners, runs } from "../support/processes.ts";
import { eventsOf, WorkingCopy } from "../support/working-copy.ts";

/** Argo CD's real controllers sync the tree from a Git repository to the sandbox's real control plane. */

const skip = await gitOpsTools();
const copy = new WorkingCopy();
const dir = join(copy.root, ".homelab", "sandbox");
const repository = join(dir, "git", "homelab");
const PHPIPAM = join("k8s", "clusters", "home", "infra", "phpipam");
const FINE = { sync: "Synced", health: "Healthy" };

let sandbox: Sandbox;
let tunnel: Tunnel | undefined;
let shell: NodeShell | undefined;
let kubectl: Kubectl;

before(async () => {
  if (skip === false) sandbox = await startSandbox({ dir });
});
after(async () => {
  await leaveCluster();
  await sandbox?.stop();
  copy.remove();
});

async function enterCluster(): Promise<void> {
  const { sshHost: host, sshUser: user, sshPort: port, sshConfigFile: configFile } = sandbox.endpoints;
  shell = new NodeShell({ host, user, port, configFile });
  tunnel = await openTunnel(shell, new AbortController().signal);
  const kubeconfig = join(copy.home, "kubeconfig");
  const text = readFileSync(join(dir, "kubeconfig"), "utf8");
  writeFileSync(kubeconfig, throughProxy(text, "k3s-single", tunnel.proxyUrl), { mode: 0o600 });
  kubectl = new Kubectl({
    program: (await ensureTool("kubectl")).path,
    kubeconfig,
    context: "k3s-single",
  });
}

async function leaveCluster(): Promise<void> {
  await tunnel?.close();
  await shell?.close();
  tunnel = shell = undefined;
}

/** Wait for something to be so: a controller does it, in its own time. */
async function until<T>(what: string, action: () => Promise<T>, seconds = 60): Promise<T> {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    try {
      return await action();
    } catch (error) {
      if (Date.now() > deadline) throw new Error(`${what}: not within ${seconds} s`, { cause: error });
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  }
}

/** One value of an object. @throws {CommandError} when the object is not there */
async function value(object: readonly string[], path: string): Promise<string> {
  return (await kubectl.run(["get", ...object, "-o", `jsonpath={${path}}`])).stdout;
}

async function exists(...object: readonly string[]): Promise<boolean> {
  return (await kubectl.run(["get", ...object, "--ignore-not-found", "-o", "name"])).stdout !== "";
}

/** Commit to the repository what `change` does to its files; returns the commit. */
async function commit(message: string, change: () => void): Promise<string> {
  change();
  const git = async (...args: readonly string[]): Promise<string> => {
    const author = ["-c", "user.name=test", "-c", "user.email=test@localhost"];
    return (await run("git", [...author, ...args], { cwd: repository })).stdout.trim();
  };
  await git("add", "--all", "--force");
  await git("commit", "--quiet", "-m", message);
  return await git("rev-parse", "HEAD");
}

/** The Applications, as `status --json` has them. */
async function applications(): Promise<Record<string, Application>> {
  const result = await copy.task("status", ["--sandbox", "--json"]);
  assert.equal(result.exitCode, 0, result.stderr);
  const all = eventsOf(result).at(-1)?.applications as readonly Application[];
  return Object.fromEntries(all.map((each) => [each.name, each]));
}

/** What status says of an Application beside where it comes from; a problem is there only where it has one. */
async function stateOf(application: string): Promise<Partial<Application>> {
  const { name: _name, path: _path, repoURL: _url, ...state } = (await applications())[application] ?? {};
  return state;
}

/** Have Argo CD look now: by itself it would within ten seconds. */
async function refresh(name: string): Promise<void> {
  const flags = ["argocd.argoproj.io/refresh=normal", "--overwrite", "-n", "argocd"];
  await kubectl.run(["annotate", `applications.argoproj.io/${name}`, ...flags]);
}

describe("GitOps in the sandbox", { skip }, () => {
  test("deploy ends with root and child synced from Git, and healthy", async () => {
    const image = join(copy.home, "image.qcow2");
    await createSparseQcow2(image, 2 * 1024 ** 3);
    const result = await copy.task("deploy", ["--sandbox", "--yes", "--json", "--image", image]);
    assert.equal(result.exitCode, 0, result.stderr);
    const head = (await run("git", ["rev-parse", "HEAD"], { cwd: repository })).stdout.trim();
    const all = eventsOf(result).at(-1)?.applications as readonly Application[];
    const fine = { repoURL: `file://${repository}`, revision: head, ...FINE };
    assert.deepEqual(all, [
      { name: "app-of-apps", path: "k8s/clusters/home", ...fine },
      { name: "phpipam", path: PHPIPAM, ...fine },
    ]);
    await enterCluster();
  });

  test("what is there was rendered from the tree, and put there by Argo CD as its service account", async () => {
    const deployment = ["deployment/phpipam", "-n", "ipam"];
    const limits = await value(deployment, ".spec.template.spec.containers[*].resources.limits.memory");
    // The order is the chart's.
    assert.deepEqual(limits.split(" ").sort(), ["1Gi", "256Mi", "512Mi"]);
    const flags = ["--show-managed-fields", ...deployment];
    assert.match(await value(flags, ".metadata.managedFields[*].manager"), /argocd-controller/);
    const claim = ["pvc/phpipam-mariadb", "-n", "ipam"];
    assert.equal(await value(claim, ".spec.storageClassName"), "local-path");
    assert.equal(await value(claim, ".status.phase"), "Bound");
    const who = "system:serviceaccount:argocd:argocd-application-controller";
    assert.match((await kubectl.run(["auth", "can-i", "create", "deployments", "--as", who])).stdout, /yes/);
  });

  test("status says which controllers run, and what they made of the Applications", async () => {
    const { stdout } = await copy.task("status", ["--sandbox"]);
    const { version } = await ensureTool("argocd");
    const lines = stdout.split("\n").map((line) => line.replace(/ +/g, " "));
    assert.ok(
      lines.includes(
        `Argo CD 3.5.7 in argocd (its controllers ${version} run, its other containers are simulated)`,
      ),
      stdout,
    );
    assert.ok(lines.includes("Applications app-of-apps Synced Healthy k8s/clusters/home"), stdout);
    assert.ok(lines.includes(" phpipam Synced Healthy k8s/clusters/home/infra/phpipam"), stdout);
  });

  test("argo again finds all as it is, and makes no commit", async () => {
    const before = (await run("git", ["rev-parse", "HEAD"], { cwd: repository })).stdout;
    const { exitCode, stderr } = await copy.task("argo", ["--sandbox", "--yes"]);
    assert.equal(exitCode, 0, stderr);
    assert.match(stderr, /✔ Wait until the Applications are as in Git/);
    assert.equal((await run("git", ["rev-parse", "HEAD"], { cwd: repository })).stdout, before);
  });
});

describe("drift made by hand", { skip }, () => {
  test("a managed object that was deleted comes back", async () => {
    const service = ["service/phpipam-web", "-n", "ipam"];
    const before = await value(service, ".metadata.uid");
    await kubectl.run(["delete", ...service]);
    await until("the Service", async () => assert.notEqual(await value(service, ".metadata.uid"), before));
  });

  test("a managed field that was changed is set back", async () => {
    const deployment = ["deployment/phpipam", "-n", "ipam"];
    await kubectl.run(["scale", ...deployment, "--replicas=3"]);
    await until("the scale", async () => assert.equal(await value(deployment, ".spec.replicas"), "1"));
  });

  test("a child Application that was deleted comes back", async () => {
    const application = ["applications.argoproj.io/phpipam", "-n", "argocd"];
    const before = await value(application, ".metadata.uid");
    await kubectl.run(["delete", ...application]);
    await until("the Application", async () =>
      assert.notEqual(await value(application, ".metadata.uid"), before),
    );
    await until("its state", async () => {
      const { revision: _any, ...state } = await stateOf("phpipam");
      assert.deepEqual(state, FINE);
    });
  });
});

describe("a project that is gone", { skip }, () => {
  test("is made again by argo, which does not give up for what the Applications said without it", async () => {
    await kubectl.run(["delete", "appprojects.argoproj.io/default", "-n", "argocd"]);
    await refresh("app-of-apps");
    await until("the problem", async () => {
      const { problem = "" } = await stateOf("app-of-apps");
      assert.match(problem, /project default which does not exist/);
    });
    const { exitCode, stderr } = await copy.task("argo", ["--sandbox", "--yes"]);
    assert.equal(exitCode, 0, stderr);
    const { revision: _any, ...state } = await stateOf("app-of-apps");
    assert.deepEqual(state, FINE);
  });
});

describe("Git", { skip }, () => {
  const extra = join(repository, PHPIPAM, "extra.yaml");
  const kustomization = join(repository, PHPIPAM, "kustomization.yaml");
  const ours = ["configmap/extra", "-n", "ipam"];
  const theirs = ["configmap/by-hand", "-n", "ipam"];

  test("a manifest that is added there is applied", async () => {
    await kubectl.run(["create", "configmap", "by-hand", "-n", "ipam", "--from-literal=a=b"]);
    await commit("Add a ConfigMap", () => {
      writeFileSync(extra, "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: extra }\ndata: { a: '1' }\n");
      const text = readFileSync(kustomization, "utf8");
      writeFileSync(kustomization, text.replace("- namespace.yaml", "- namespace.yaml\n  - extra.yaml"));
    });
    await refresh("phpipam");
    await until("the ConfigMap", async () => assert.equal(await value(ours, ".data.a"), "1"));
  });

  test("one that is changed there is changed, without anybody asking Argo CD to look", async () => {
    await commit("Change it", () => writeFileSync(extra, readFileSync(extra, "utf8").replace("'1'", "'2'")));
    await until("the ConfigMap", async () => assert.equal(await value(ours, ".data.a"), "2"));
  });

  test("one that is removed there is pruned, and what was never in Git is left alone", async () => {
    const head = await commit("Remove it", () => {
      rmSync(extra);
      const text = readFileSync(kustomization, "utf8");
      writeFileSync(kustomization, text.replace("\n  - extra.yaml", ""));
    });
    await refresh("phpipam");
    await until("the ConfigMap's end", async () => assert.equal(await exists(...ours), false));
    assert.equal(await exists(...theirs), true);
    await until("its state", async () =>
      assert.deepEqual(await stateOf("phpipam"), { ...FINE, revision: head }),
    );
  });
});

describe("a broken commit", { skip }, () => {
  const kustomization = join(repository, PHPIPAM, "kustomization.yaml");

  test("is reported by status in Argo CD's words, with what to do, and breaks nothing that runs", async () => {
    await commit("Name a file that is not there", () => {
      const text = readFileSync(kustomization, "utf8");
      writeFileSync(kustomization, text.replace("- namespace.yaml", "- namespace.yaml\n  - missing.yaml"));
    });
    // Nobody asks Argo CD to look; what it keeps to itself by default would take three minutes more.
    const report = async (): Promise<Application | undefined> => {
      const { phpipam } = await applications();
      assert.match(phpipam?.problem ?? "", /missing\.yaml/);
      return phpipam;
    };
    const broken = await until("the report", report, 120);
    assert.match(broken?.problem ?? "", /^ComparisonError: .*kustomize build/);
    assert.equal(broken?.sync, "Unknown");
    const { stdout, exitCode } = await copy.task("status", ["--sandbox"]);
    assert.equal(exitCode, 0);
    assert.match(stdout, /✖ ComparisonError: .*missing\.yaml/);
    assert.match(stdout, /\$ kustomize build --enable-helm k8s\/clusters\/home\/infra\/phpipam/);
    assert.equal(await exists("deployment/phpipam", "-n", "ipam"), true);
    assert.equal(await exists("service/phpipam-web", "-n", "ipam"), true);
  });

  test("is recovered from by a good one", async () => {
    const head = await commit("Name it no more", () => {
      const text = readFileSync(kustomization, "utf8");
      writeFileSync(kustomization, text.replace("\n  - missing.yaml", ""));
    });
    await refresh("phpipam");
    await until("the recovery", async () => {
      assert.deepEqual(await stateOf("phpipam"), { ...FINE, revision: head });
    });
  });
});

describe("a commit that renders, and cannot be applied", { skip }, () => {
  const folder = join(copy.root, PHPIPAM);
  const kustomization = join(folder, "kustomization.yaml");

  test("ends argo with Argo CD's words, what to do and where to look", async () => {
    const role =
      "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: { name: too-much }\n";
    writeFileSync(join(folder, "role.yaml"), role);
    const text = readFileSync(kustomization, "utf8");
    writeFileSync(kustomization, text.replace("- namespace.yaml", "- namespace.yaml\n  - role.yaml"));
    const { exitCode, stderr } = await copy.task("argo", ["--sandbox", "--yes"]);
    assert.equal(exitCode, 1, stderr);
    assert.match(stderr, /✖ Argo CD cannot sync the Application phpipam/);
    assert.match(stderr, /ClusterRole too-much: .*ClusterRole is not permitted in project default/);
    assert.match(stderr, /Allow it in k8s\/argo\/projects\/default-project\.yaml/);
    assert.match(stderr, /https:\/\/localhost:8443\/applications\/argocd\/phpipam/);
    const { phpipam } = await applications();
    assert.match(phpipam?.problem ?? "", /ClusterRole too-much/);
  });

  test("is recovered from by a good one, which its retries take up", async () => {
    const text = readFileSync(kustomization, "utf8");
    writeFileSync(kustomization, text.replace("\n  - role.yaml", ""));
    rmSync(join(folder, "role.yaml"));
    const { exitCode, stderr } = await copy.task("argo", ["--sandbox", "--yes"]);
    assert.equal(exitCode, 0, stderr);
    const { revision: _any, ...state } = await stateOf("phpipam");
    assert.deepEqual(state, FINE);
  });
});

describe("the processes that sync", { skip }, () => {
  const NAMES = ["argocd-application-controller", "argocd-repo-server", "redis-server"];
  const running = (): number[] => [...syncingProcesses(dir).values()].filter(runs);

  test("are three, and listen on loopback but for the controller's metrics", () => {
    const processes = syncingProcesses(dir);
    assert.deepEqual([...processes.keys()].sort(), NAMES);
    const addresses = Object.fromEntries([...processes].map(([name, pid]) => [name, listeners(pid).sort()]));
    assert.deepEqual(addresses["redis-server"], ["127.0.0.1"]);
    assert.deepEqual(addresses["argocd-repo-server"], ["127.0.0.1", "127.0.0.1"]);
    // All addresses, of IPv6 as well.
    assert.deepEqual(addresses["argocd-application-controller"], ["0".repeat(32)]);
  });

  test("let nobody else into their Redis, and show no password", async () => {
    const conf = readFileSync(join(dir, "cluster", "argocd", "redis.conf"), "utf8");
    const port = Number(/^port (\d+)$/m.exec(conf)?.[1]);
    const password = /^requirepass (\S+)$/m.exec(conf)?.[1] ?? "";
    assert.ok(password.length >= 32);
    assert.match(await asked(port, "KEYS *\r\n"), /^-NOAUTH/);
    for (const pid of syncingProcesses(dir).values()) {
      assert.ok(!readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(password));
    }
  });

  test("are started again when one of them ends", async () => {
    const before = syncingProcesses(dir);
    process.kill(before.get("argocd-repo-server") ?? 0, "SIGKILL");
    await until("all of them", async () => {
      assert.equal(running().length, NAMES.length);
      for (const [name, pid] of syncingProcesses(dir)) assert.notEqual(pid, before.get(name), name);
    });
  });

  test("end with a sandbox that is killed and started again, which goes on syncing", async () => {
    const before = running();
    assert.equal(before.length, NAMES.length);
    await leaveCluster();
    const { pid } = JSON.parse(readFileSync(join(dir, "sandbox.json"), "utf8")) as { pid: number };
    process.kill(pid, "SIGKILL");
    await until("the sandbox's end", async () => assert.equal(runs(pid), false));
    sandbox = await startSandbox({ dir });
    assert.deepEqual(before.filter(runs), []);
    const { exitCode, stderr } = await copy.task("kubeconfig", ["--sandbox"]);
    assert.equal(exitCode, 0, stderr);
    await enterCluster();
    const service = ["service/phpipam-web", "-n", "ipam"];
    await kubectl.run(["delete", ...service]);
    await until("the Service", async () => assert.equal(await exists(...service), true));
  });

  test("end with the sandbox, and leave nothing that could not be removed", async () => {
    const before = running();
    assert.equal(before.length, NAMES.length);
    await leaveCluster();
    await sandbox.stop();
    assert.deepEqual(before.filter(runs), []);
    assert.equal(existsSync(join(dir, "cluster", "argocd", "work")), false);
  });
});

describe("where the programs are not there", { skip }, () => {
  const cache = join(copy.home, "cache");

  before(async () => {
    const real = copy.env().HOMELAB_CACHE ?? "";
    mkdirSync(join(cache, "tools"), { recursive: true });
    for (const name of readdirSync(real)) {
      if (name !== "tools" && name !== "locks") symlinkSync(join(real, name), join(cache, name));
    }
    for (const name of readdirSync(join(real, "tools"))) {
      if (name !== "argocd") symlinkSync(join(real, "tools", name), join(cache, "tools", name));
    }
    process.env.HOMELAB_CACHE = cache;
    sandbox = await startSandbox({ dir });
  });

  test("argo says in one line that nothing is synced, and how it would be", async () => {
    const { exitCode } = await copy.task("kubeconfig", ["--sandbox"], { HOMELAB_CACHE: cache });
    assert.equal(exitCode, 0);
    const result = await copy.task("argo", ["--sandbox", "--yes"], { HOMELAB_CACHE: cache });
    assert.equal(result.exitCode, 0, result.stderr);
    assert.match(
      result.stderr,
      /Argo CD's own pods are simulated: it syncs nothing\. With argocd it would: \$ npm run setup -- --for gitops/,
    );
    assert.deepEqual([...syncingProcesses(dir).values()], []);
  });

  test("so does status", async () => {
    const { stdout } = await copy.task("status", ["--sandbox"], { HOMELAB_CACHE: cache });
    assert.match(stdout, /^Argo CD +3\.5\.7 in argocd \(its containers are simulated: it syncs nothing\)$/m);
  });
});

/** What a server on loopback answers first. */
async function asked(port: number, question: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(question));
    socket.setEncoding("utf8");
    socket.once("data", (text: string) => {
      resolve(text);
      socket.destroy();
    });
    socket.once("error", reject);
  });
}
