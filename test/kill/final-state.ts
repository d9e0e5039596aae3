import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { parse, stringify } from "yaml";
import { clusterOf } from "../../lib/k8s/kubeconfig.ts";
import { run } from "../../lib/process.ts";
import { ensureTool } from "../../lib/toolchain/index.ts";
import { PveApi } from "../support/pve.ts";
import type { KillWorld } from "./world.ts";

/** What a deployment has come to, a value for each thing that can differ; what is new by nature has its kind's name. */
export type FinalState = Readonly<Record<string, unknown>>;

const KINDS =
  "nodes,namespaces,deployments,statefulsets,daemonsets,jobs,services,configmaps,secrets,serviceaccounts,persistentvolumeclaims,networkpolicies,clusterroles,clusterrolebindings,customresourcedefinitions,applications.argoproj.io,appprojects.argoproj.io";

interface KubernetesObject {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly data?: Readonly<Record<string, unknown>>;
  readonly status?: Readonly<Record<string, unknown>>;
}

/** Read everything that a deployment has made: on the node, in OpenTofu's state, in the cluster, on this machine. */
export async function finalState(world: KillWorld): Promise<FinalState> {
  const sandbox = await world.sandbox();
  const pve = new PveApi(sandbox.endpoints);
  const vms = (await pve.vms()).toSorted((a, b) => a.name.localeCompare(b.name));
  const numbers = new Map(vms.map(({ vmid, name }) => [vmid, name]));
  const configs = await Promise.all(
    vms.map(async ({ vmid, name, template, status }) => {
      const { digest, ...config } = await pve.config(vmid);
      return [`VM ${name}`, { template: template === 1, status, config }] as const;
    }),
  );
  return normal(
    {
      VMs: vms.map(({ name }) => name),
      ...Object.fromEntries(configs),
      "files on the node": filesBelow(join(world.dir, "rootfs")),
      ...tofuState(world),
      ...(await kubernetes(world)),
      kubeconfig: kubeconfig(world),
      "files of the tasks": [
        ...readdirSync(world.dir).filter((name) => !/^sandbox\.(lock|log)/.test(name)),
        ...(existsSync(join(world.dir, "locks")) ? readdirSync(join(world.dir, "locks")) : []),
        ...readdirSync(join(world.dir, "tofu", "k3s-single")),
        ...readdirSync(join(world.dir, "git", "homelab", ".git")).filter((name) => name.endsWith(".lock")),
      ].toSorted(),
      "the image's metadata": JSON.parse(readFileSync(`${world.image}.json`, "utf8")),
    },
    numbers,
  );
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .toSorted();
}

function tofuState({ dir }: KillWorld): Record<string, unknown> {
  const file = join(dir, "tofu", "k3s-single", "terraform.tfstate");
  const { outputs, resources } = JSON.parse(readFileSync(file, "utf8")) as {
    outputs: unknown;
    resources: {
      mode: string;
      module?: string;
      type: string;
      instances: { status?: string; attributes: object }[];
    }[];
  };
  const managed = resources.filter(({ mode }) => mode === "managed");
  return {
    "OpenTofu's outputs": outputs,
    ...Object.fromEntries(
      managed.flatMap(({ module = "", type, instances }) =>
        instances.map(({ status = "whole", attributes }) => [
          `OpenTofu's ${module}.${type}`,
          { status, attributes },
        ]),
      ),
    ),
  };
}

/** Through the API server's own port: the tunnel is the tasks'. */
async function kubernetes(world: KillWorld): Promise<Record<string, unknown>> {
  const controller = readFileSync(join(world.dir, "cluster", "controller-manager.kubeconfig"), "utf8");
  const [server] = /https:\/\/127\.0\.0\.1:\d+/.exec(controller) ?? [];
  const config = parse(readFileSync(join(world.dir, "kubeconfig"), "utf8")) as {
    clusters: { cluster: Record<string, string> }[];
  };
  for (const { cluster } of config.clusters) {
    cluster.server = server ?? "";
    delete cluster["proxy-url"];
  }
  const file = join(world.copy.home, "own-kubeconfig");
  writeFileSync(file, stringify(config), { mode: 0o600 });
  const { path } = await ensureTool("kubectl");
  const { stdout } = await run(path, ["--kubeconfig", file, "get", KINDS, "-A", "-o", "json"]);
  const { items } = JSON.parse(stdout) as { items: KubernetesObject[] };
  return Object.fromEntries(
    items.map((item) => [
      `${item.kind} ${[item.metadata.namespace, item.metadata.name].filter(Boolean).join("/")}`,
      essence(item),
    ]),
  );
}

/** What of an object says whether it is the same as in another cluster. */
function essence({ kind, spec, data, status }: KubernetesObject): unknown {
  switch (kind) {
    case "Application":
    case "AppProject": {
      const { sync, health } = (status ?? {}) as {
        sync?: { status: string };
        health?: { status: string };
      };
      return { spec, sync: sync?.status, health: health?.status };
    }
    case "Deployment":
    case "StatefulSet":
      return { replicas: spec?.replicas, ready: status?.readyReplicas };
    case "Secret":
    case "ConfigMap":
      return Object.keys(data ?? {}).toSorted();
    case "Namespace":
      return status;
    default:
      return "there";
  }
}

function kubeconfig({ dir }: KillWorld): unknown {
  const file = join(dir, "kubeconfig");
  const text = readFileSync(file, "utf8");
  const { contexts, users } = parse(text) as {
    contexts: unknown;
    users: { name: string; user: object }[];
  };
  return {
    mode: (statSync(file).mode & 0o777).toString(8),
    contexts,
    cluster: { ...clusterOf(text, "k3s-single"), certificateAuthority: undefined },
    users: users.map(({ name, user }) => ({ name, holds: Object.keys(user).toSorted() })),
  };
}

/** Put the kind's name in place of what differs from node to node and from VM to VM. */
function normal(state: FinalState, numbers: ReadonlyMap<number, string>): FinalState {
  let text = JSON.stringify(state)
    .replace(/\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b/gi, "‹MAC›")
    .replace(/\bfe80::[0-9a-f:]+/g, "‹address›")
    .replace(/\brun [0-9a-f]{8}\b/g, "run ‹number›")
    .replace(/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/gi, "‹UUID›")
    .replace(/ssh-ed25519(?: |%20)[A-Za-z0-9+/=%]+/g, "‹key›")
    .replace(/ctime=\d+/g, "ctime=‹time›")
    .replace(/(?<="certificateAuthority":)"[^"]*"/g, '"‹CA›"');
  // Last, for the others may hold such digits.
  for (const [vmid, name] of numbers)
    text = text.replace(new RegExp(`(?<![\\w.])${vmid}(?!\\w|\\.\\d)`, "g"), `‹number of ${name}›`);
  return JSON.parse(
    text.replace(/(?<=[:[,])‹number of ([^›]*)›(?=[,\]}])/g, '"‹number of $1›"'),
  ) as FinalState;
}

/** As JSON, whatever order an object's keys came in; undefined stays undefined. */
function inOrder(value: unknown): string | undefined {
  return JSON.stringify(value, (_key, each: unknown) =>
    typeof each === "object" && each !== null && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : each,
  );
}

/** What differs, a line for each. */
export function differences(expected: FinalState, actual: FinalState): string[] {
  return [...new Set([...Object.keys(expected), ...Object.keys(actual)])].flatMap((key) => {
    const [was, is] = [inOrder(expected[key]), inOrder(actual[key])];
    if (was === is) return [];
    if (was === undefined) return [`${key} is there, too`];
    if (is === undefined) return [`${key} is missing`];
    const at = [...was].findIndex((char, index) => char !== is[index]);
    const from = Math.max(0, at - 40);
    return [`${key}: …${is.slice(from, at + 80)} instead of …${was.slice(from, at + 80)}`];
  });
}
