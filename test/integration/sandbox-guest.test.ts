import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { parse } from "yaml";
import { freePorts } from "../../lib/free-ports.ts";
import { learnHostKey, NodeShell } from "../../lib/proxmox/ssh.ts";
import { PROGRAMS } from "../../lib/sandbox/control-plane/index.ts";
import { type Sandbox, startSandbox } from "../../lib/sandbox/index.ts";
import { kubernetesTools } from "../support/kubernetes.ts";
import { listeners, residentMiB, runs } from "../support/processes.ts";
import { PveApi } from "../support/pve.ts";
import { execute, type Finished, sshOptions } from "../support/ssh.ts";

const IMAGE = "alma9-k3-node-amd64-v1.35.6-v1";
const TEMPLATE = 9000;
const FIRST = { vmid: 131, name: "k3s-s1", address: "10.23.45.31" };
const SECOND = { vmid: 132, name: "k3s-s2", address: "10.23.45.32" };
const PLAIN = { vmid: 140, name: "plain", address: "10.23.45.40" };

const base = mkdtempSync(join(tmpdir(), "homelab-guest-"));
const dir = join(base, "sandbox");
const key = join(base, "key");
const knownHosts = join(base, "known_hosts");
let kubectl: string;
let sandbox: Sandbox;
let api: PveApi;
const children: ChildProcess[] = [];

before(async () => {
  ({ kubectl } = await kubernetesTools());
  await execute("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "admin@here", "-f", key]);
  await start();
  await api.createTemplate(TEMPLATE, IMAGE);
  await cloned(FIRST);
  await api.createVm(PLAIN.vmid, PLAIN.name, cloudInit(PLAIN.address));
  await power("start", PLAIN.vmid);
});
after(async () => {
  for (const child of children) child.kill("SIGKILL");
  await sandbox?.stop();
  rmSync(base, { recursive: true, force: true });
});

async function start(): Promise<void> {
  sandbox = await startSandbox({ dir });
  api = new PveApi(sandbox.endpoints);
}

function cloudInit(address: string): Record<string, string> {
  return {
    ciuser: "admin",
    sshkeys: encodeURIComponent(readFileSync(`${key}.pub`, "utf8")),
    ipconfig0: `ip=${address}/24,gw=10.23.45.1`,
  };
}

type Machine = typeof FIRST;

/** Clone the template as the OpenTofu module does, and start the clone. */
async function cloned({ vmid, name, address }: Machine): Promise<void> {
  await api.task("POST", `/nodes/pve/qemu/${TEMPLATE}/clone`, { newid: vmid, name, full: 1 });
  await api.call("PUT", `/nodes/pve/qemu/${vmid}/config`, cloudInit(address));
  await power("start", vmid);
}

async function power(what: "start" | "stop" | "shutdown", vmid: number): Promise<void> {
  await api.task("POST", `/nodes/pve/qemu/${vmid}/status/${what}`);
}

async function agent(vmid: number, command: string): Promise<unknown> {
  const method = command === "ping" ? "POST" : "GET";
  const { result } = (await api.call(method, `/nodes/pve/qemu/${vmid}/agent/${command}`)) as {
    result: unknown;
  };
  return result;
}

/** Wait for something to be so. */
async function until<T>(what: string, action: () => Promise<T>, seconds = 30): Promise<T> {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    try {
      return await action();
    } catch (error) {
      if (Date.now() > deadline) throw new Error(`${what}: not within ${seconds} s`, { cause: error });
      await sleep(100);
    }
  }
}

/** Make a guest's host key known, as the tasks do: through its agent on the node. */
async function trust({ vmid, address }: Machine): Promise<void> {
  const { sshHost: host, sshUser: user, sshPort: port, sshConfigFile: configFile } = sandbox.endpoints;
  const shell = new NodeShell({ host, user, port, configFile });
  try {
    await until(`the agent of ${vmid}`, async () => await learnHostKey(shell, { vmid, address }, knownHosts));
  } finally {
    await shell.close();
  }
}

/** A command line on a guest, by ProxyJump through the node. */
async function onGuest(
  { address }: Machine,
  line: string,
  { user = "admin", identity = key } = {},
): Promise<Finished> {
  const { sshConfigFile, sshUser, sshHost, sshPort } = sandbox.endpoints;
  return await execute("ssh", [
    ...["-F", sshConfigFile, "-o", "BatchMode=yes", "-o", `UserKnownHostsFile=${knownHosts}`],
    ...["-i", identity, "-J", `${sshUser}@${sshHost}:${sshPort}`, `${user}@${address}`, "--", line],
  ]);
}

/** The same, which has to succeed; its stdout. */
async function say(machine: Machine, line: string): Promise<string> {
  const { exit, stdout, stderr } = await onGuest(machine, line);
  assert.deepEqual({ exit, stderr }, { exit: 0, stderr: "" }, line);
  return stdout;
}

async function k3sIsActive(machine: Machine): Promise<void> {
  await until("k3s", async () => assert.equal(await say(machine, "systemctl is-active k3s"), "active\n"));
}

describe("a VM of an image of ours", () => {
  before(async () => await trust(FIRST));

  test("answers its agent with the address of its cloud-init drive", async () => {
    assert.deepEqual(await agent(FIRST.vmid, "ping"), {});
    const interfaces = (await agent(FIRST.vmid, "network-get-interfaces")) as {
      name: string;
      "ip-addresses": { "ip-address": string; prefix: number }[];
    }[];
    assert.deepEqual(
      interfaces.map(({ name, "ip-addresses": [first] }) => [name, first?.["ip-address"], first?.prefix]),
      [
        ["lo", "127.0.0.1", 8],
        ["eth0", "10.23.45.31", 24],
      ],
    );
  });

  test("lets the cloud-init user in by its key, through the node", async () => {
    assert.equal(await say(FIRST, "hostname; whoami"), "k3s-s1\nadmin\n");
    assert.equal(await say(FIRST, "cloud-init status --wait"), "status: done\n");
  });

  test("lets nobody else in: another user, another key, the node's own", async () => {
    const other = join(base, "other");
    await execute("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", other]);
    for (const login of [
      { user: "root" },
      { identity: other },
      { identity: join(dir, "ssh", "id_ed25519") },
    ]) {
      const { exit, stderr } = await onGuest(FIRST, "hostname", login);
      assert.equal(exit, 255, JSON.stringify(login));
      assert.match(stderr, /10\.23\.45\.31: Permission denied \(publickey\)/);
    }
  });

  test("has a kubeconfig as k3s writes it, which root alone can read", async () => {
    await k3sIsActive(FIRST);
    const file = "/etc/rancher/k3s/k3s.yaml";
    assert.equal(await say(FIRST, `sudo stat -c %a ${file}`), "600\n");
    for (const line of [`cat ${file}`, `cat < ${file}`]) {
      const { exit, stdout, stderr } = await onGuest(FIRST, line);
      assert.deepEqual({ exit, stdout }, { exit: 1, stdout: "" }, line);
      assert.match(stderr, /k3s\.yaml: Permission denied/);
    }
    const kubeconfig = parse(await say(FIRST, `sudo cat ${file}`)) as {
      clusters: { cluster: Record<string, string> }[];
      users: { user: Record<string, string> }[];
    };
    const { cluster } = kubeconfig.clusters[0] ?? {};
    const { user } = kubeconfig.users[0] ?? {};
    for (const pem of [cluster?.["certificate-authority-data"], user?.["client-certificate-data"]]) {
      assert.match(Buffer.from(pem ?? "", "base64").toString(), /^-----BEGIN CERTIFICATE-----/);
    }
    assert.deepEqual(kubeconfig, {
      apiVersion: "v1",
      kind: "Config",
      preferences: {},
      clusters: [{ name: "default", cluster: { ...cluster, server: "https://127.0.0.1:6443" } }],
      users: [{ name: "default", user }],
      contexts: [{ name: "default", context: { cluster: "default", user: "default" } }],
      "current-context": "default",
    });
  });

  test("tells of k3s in its journal, and of a unit that it lacks that it is inactive", async () => {
    await k3sIsActive(FIRST);
    assert.match(await say(FIRST, "sudo journalctl -u k3s --no-pager"), /k3s is up and running/);
    assert.deepEqual(await onGuest(FIRST, "systemctl is-active nginx"), {
      exit: 3,
      stdout: "inactive\n",
      stderr: "",
    });
  });
});

describe("a VM that is made from no image of ours", () => {
  test("runs, but has neither an agent that answers nor anything that listens", async () => {
    await assert.rejects(agent(PLAIN.vmid, "ping"), /500 QEMU guest agent is not running/);
    const { exit, stderr } = await onGuest(PLAIN, "hostname");
    assert.equal(exit, 255);
    assert.match(stderr, /open failed|Connection closed/);
  });

  test("is not the only thing that the way through the node refuses: it leads to guests alone", async () => {
    const { apiUrl, sshUser, sshHost } = sandbox.endpoints;
    const target = `127.0.0.1:${new URL(apiUrl).port}`;
    const options = [...sshOptions(sandbox.endpoints), "-W", target];
    const { exit, stderr } = await execute("ssh", [...options, `${sshUser}@${sshHost}`]);
    assert.equal(exit, 255);
    assert.match(stderr, /open failed|stdio forwarding failed/);
  });
});

/** A tunnel to a machine's Kubernetes API by `ssh -L` through the node; the kubeconfig that uses it. */
async function tunnel({ address }: Machine, kubeconfig: string): Promise<string> {
  const { sshUser, sshHost } = sandbox.endpoints;
  const [port = 0] = await freePorts(1);
  const forward = `127.0.0.1:${port}:${address}:6443`;
  const options = [...sshOptions(sandbox.endpoints), "-o", "ExitOnForwardFailure=yes", "-N", "-L", forward];
  children.push(spawn("ssh", [...options, `${sshUser}@${sshHost}`], { stdio: "ignore" }));
  const file = join(base, `kubeconfig-${port}`);
  writeFileSync(file, kubeconfig.replace("https://127.0.0.1:6443", `https://127.0.0.1:${port}`), {
    mode: 0o600,
  });
  return file;
}

/** kubectl's stdout. */
async function kube(kubeconfig: string, args: readonly string[], input = ""): Promise<string> {
  const all = ["--kubeconfig", kubeconfig, "--request-timeout=10s", ...args];
  const { exit, stdout, stderr } = await execute(kubectl, all, { input });
  assert.equal(exit, 0, `kubectl ${args.join(" ")}: ${stderr}`);
  return stdout;
}

/** Pids of the control plane's programs, as the sandbox notes them. */
function programs(): number[] {
  const folder = join(dir, "cluster");
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith(".pid"))
    .map((name) => Number(readFileSync(join(folder, name), "utf8").split(" ")[0]));
}

function setOrDelete(variables: Readonly<Record<string, string | undefined>>): void {
  for (const [name, value] of Object.entries(variables)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
}

const DEPLOYMENT = `
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: 2
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec: { containers: [{ name: web, image: "nginx:1" }] }
`;

const POD_WITH_CLAIM = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: data }
spec: { accessModes: [ReadWriteOnce], resources: { requests: { storage: 2Gi } } }
---
apiVersion: v1
kind: Pod
metadata: { name: data }
spec:
  terminationGracePeriodSeconds: 0
  containers: [{ name: db, image: "mariadb:11", volumeMounts: [{ name: data, mountPath: /data }] }]
  volumes: [{ name: data, persistentVolumeClaim: { claimName: data } }]
`;

describe("the cluster of the VMs", () => {
  let k3sYaml: string;
  let kubeconfig: string;

  const readyNodes = async () => {
    const rows = await kube(kubeconfig, ["get", "nodes", "--no-headers"]);
    return rows
      .split("\n")
      .filter((row) => / Ready /.test(row))
      .map((row) => row.split(" ")[0]);
  };

  before(async () => {
    await trust(FIRST);
    await k3sIsActive(FIRST);
    k3sYaml = await say(FIRST, "sudo cat /etc/rancher/k3s/k3s.yaml");
    kubeconfig = await tunnel(FIRST, k3sYaml);
  });

  test("has a node of the VM's name, address and version, and k3s's storage class", async () => {
    await until("the node", async () => assert.deepEqual(await readyNodes(), ["k3s-s1"]));
    const path =
      "jsonpath={.items[0].status.addresses[0].address} {.items[0].status.nodeInfo.kubeletVersion}";
    assert.equal(await kube(kubeconfig, ["get", "nodes", "-o", path]), "10.23.45.31 v1.35.6+k3s1");
    assert.match(
      await kube(kubeconfig, ["get", "storageclass"]),
      /^local-path \(default\) +rancher\.io\/local-path/m,
    );
  });

  test("runs the pods of a Deployment", async () => {
    await kube(kubeconfig, ["apply", "--server-side", "-f", "-"], DEPLOYMENT);
    await kube(kubeconfig, ["rollout", "status", "deployment/web", "--timeout=30s"]);
    const pods = await kube(kubeconfig, ["get", "pods", "-l", "app=web", "--no-headers"]);
    assert.equal(pods.match(/ 1\/1 +Running /g)?.length, 2, pods);
  });

  test("gives a pod the volume that it claims, and takes it back with the claim", async () => {
    await kube(kubeconfig, ["apply", "--server-side", "-f", "-"], POD_WITH_CLAIM);
    await kube(kubeconfig, ["wait", "pod/data", "--for=condition=Ready", "--timeout=30s"]);
    const path =
      "jsonpath={.items[0].spec.claimRef.name} {.items[0].spec.capacity.storage} {.items[0].status.phase}";
    assert.equal(await kube(kubeconfig, ["get", "pv", "-o", path]), "data 2Gi Bound");
    await kube(kubeconfig, ["delete", "pod/data", "pvc/data", "--timeout=30s"]);
    await until("the volume's end", async () =>
      assert.equal(await kube(kubeconfig, ["get", "pv", "-o", "name"]), ""),
    );
  });

  test("takes a second VM in as a node, beside the same control plane", async () => {
    const before = programs();
    await cloned(SECOND);
    await until("the second node", async () => assert.deepEqual(await readyNodes(), ["k3s-s1", "k3s-s2"]));
    assert.deepEqual(programs(), before);
    assert.equal(before.length, PROGRAMS.length);
    await trust(SECOND);
    const theirs = await tunnel(SECOND, await say(SECOND, "sudo cat /etc/rancher/k3s/k3s.yaml"));
    await until("its tunnel", async () => await kube(theirs, ["get", "nodes"]));
  });

  test("listens on loopback only", () => {
    const { pid } = JSON.parse(readFileSync(join(dir, "sandbox.json"), "utf8")) as { pid: number };
    const addresses = [pid, ...programs()].flatMap(listeners);
    // The sandbox's API and SSH; etcd for clients and peers; the API server.
    assert.equal(addresses.length, 5);
    assert.deepEqual(
      addresses.filter((address) => address !== "127.0.0.1"),
      [],
    );
  });

  test("is made of machines that are not each other's copies", async () => {
    const identity = "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub";
    const [first, second] = await Promise.all([say(FIRST, identity), say(SECOND, identity)]);
    assert.match(first, /^[0-9a-f]{32}\nssh-ed25519 /);
    const [one, other] = [first.split(/\s/), second.split(/\s/)];
    assert.notEqual(one[0], other[0]);
    assert.notEqual(one[2], other[2]);
  });

  test("takes less than 1.2 GiB of memory with both", () => {
    const used = programs().reduce((sum, pid) => sum + residentMiB(pid), 0);
    assert.ok(used < 1.2 * 1024, `${Math.round(used)} MiB`);
  });

  test("loses sight of a VM that is switched off", async () => {
    await power("stop", SECOND.vmid);
    assert.equal(programs().filter(runs).length, PROGRAMS.length);
    const path = `jsonpath={.metadata.annotations.kwok\\.x-k8s\\.io/node}`;
    assert.equal(await kube(kubeconfig, ["get", "node", "k3s-s2", "-o", path]), "");
  });

  test("ends with the last VM that is switched off, and its data wait for the next start", async () => {
    const before = programs();
    await power("shutdown", FIRST.vmid);
    assert.deepEqual([programs(), before.filter(runs)], [[], []]);
    // Another VM's end is nothing to the cluster.
    await power("stop", PLAIN.vmid);
    await api.destroy(PLAIN.vmid);
    await power("start", FIRST.vmid);
    await trust(FIRST);
    await k3sIsActive(FIRST);
    assert.equal(await say(FIRST, "sudo cat /etc/rancher/k3s/k3s.yaml"), k3sYaml);
    await until("the Deployment", async () => await kube(kubeconfig, ["get", "deployment", "web"]));
  });

  test("goes on after a restart of the sandbox, and after it was killed: the old kubeconfig still works", async () => {
    for (const end of [
      async () => await sandbox.stop(),
      async () => {
        const { pid } = JSON.parse(readFileSync(join(dir, "sandbox.json"), "utf8")) as { pid: number };
        process.kill(pid, "SIGKILL");
        while (runs(pid)) await sleep(20);
      },
    ]) {
      const before = programs();
      await end();
      await start();
      await trust(FIRST);
      await k3sIsActive(FIRST);
      assert.deepEqual(before.filter(runs), [], "left running by the sandbox before");
      kubeconfig = await tunnel(FIRST, k3sYaml);
      await until("the Deployment", async () => await kube(kubeconfig, ["get", "deployment", "web"]));
    }
  });

  test("comes up again by itself after one of its programs has died, and says so", async () => {
    for (const program of ["etcd", "kube-apiserver"]) {
      const before = programs();
      const [pid = ""] = readFileSync(join(dir, `cluster/${program}.pid`), "utf8").split(" ");
      process.kill(Number(pid), "SIGKILL");
      await until("the journal", async () =>
        assert.match(await say(FIRST, "sudo journalctl -u k3s"), new RegExp(`k3s failed: ${program} ended:`)),
      );
      await k3sIsActive(FIRST);
      assert.deepEqual(before.filter(runs), []);
      assert.equal(programs().length, PROGRAMS.length);
      kubeconfig = await tunnel(FIRST, k3sYaml);
      await until("the Deployment", async () => await kube(kubeconfig, ["get", "deployment", "web"]));
    }
  });

  test("leaves nothing running when the sandbox ends while it starts", async () => {
    await power("stop", FIRST.vmid);
    await power("start", FIRST.vmid);
    await until("etcd", async () => assert.ok(existsSync(join(dir, "cluster/etcd.pid"))));
    const before = programs();
    await sandbox.stop();
    assert.deepEqual([programs(), before.filter(runs)], [[], []]);
  });

  test("cannot start without its programs: k3s says which are missing, the VM runs all the same", async () => {
    const { HOMELAB_CACHE, HOMELAB_TOOLS } = process.env;
    Object.assign(process.env, { HOMELAB_CACHE: join(base, "no-tools"), HOMELAB_TOOLS: "download" });
    try {
      await start();
    } finally {
      setOrDelete({ HOMELAB_CACHE, HOMELAB_TOOLS });
    }
    await trust(FIRST);
    await until("k3s", async () =>
      assert.equal((await onGuest(FIRST, "systemctl is-active k3s")).stdout, "failed\n"),
    );
    assert.match(
      await say(FIRST, "sudo journalctl -u k3s"),
      /etcd, kube-apiserver, .* not found; npm run setup/,
    );
    await sandbox.stop();
    await start();
    await trust(FIRST);
    await k3sIsActive(FIRST);
  });

  test("fails in words when a program does, leaves nothing running, and comes up once it can", async () => {
    await power("stop", FIRST.vmid);
    renameSync(join(dir, "cluster/etcd"), join(dir, "cluster/kept"));
    writeFileSync(join(dir, "cluster/etcd"), "no directory");
    await power("start", FIRST.vmid);
    await trust(FIRST);
    await until("k3s", async () =>
      assert.equal((await onGuest(FIRST, "systemctl is-active k3s")).stdout, "failed\n"),
    );
    assert.match(await say(FIRST, "sudo journalctl -u k3s -n 1"), /k3s failed: etcd ended:/);
    assert.deepEqual(programs(), []);
    rmSync(join(dir, "cluster/etcd"));
    renameSync(join(dir, "cluster/kept"), join(dir, "cluster/etcd"));
    await power("stop", FIRST.vmid);
    await power("start", FIRST.vmid);
    await trust(FIRST);
    await k3sIsActive(FIRST);
  });

  test("is gone with the last VM's disk, and nothing of it runs", async () => {
    const before = programs();
    await power("stop", FIRST.vmid);
    await api.destroy(FIRST.vmid);
    assert.ok(existsSync(join(dir, "cluster/etcd")), "the second VM still belongs to it");
    await api.destroy(SECOND.vmid);
    assert.equal(existsSync(join(dir, "cluster")), false);
    assert.deepEqual(before.filter(runs), []);
  });
});
