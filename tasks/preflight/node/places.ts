import type { Finding, Repair } from "../../../lib/check/index.ts";
import { formatBytes } from "../../../lib/progress.ts";
import type { ClusterNode, NodeShell, NodeStorage } from "../../../lib/proxmox/index.ts";
import { type NodeLook, seen } from "./look.ts";

const GIB = 1024 ** 3;
/** A VM does not fit into less, however thin its disk is. */
const SMALLEST_VM = 4 * GIB;
/** AlmaLinux's minimal ISO. */
const ISO = 3 * GIB;
/** Kinds of storage that hold files, and so what is no disk. */
const OF_FILES: readonly string[] = ["dir", "nfs", "cifs", "btrfs", "cephfs", "glusterfs"];

/** What the node is called, and whether it is up. */
export function onlineFindings(nodes: readonly ClusterNode[], wanted: string): Finding[] {
  const others = nodes.filter(({ node }) => node !== wanted);
  const list = others.map(({ node, status }) => `${node} is ${status}`).join(", ");
  const own = nodes.find(({ node }) => node === wanted);
  if (own === undefined) {
    const evidence = `The cluster has no node ${wanted}: ${list || "it shows none"}`;
    return [{ state: "failed", evidence, fix: ["Set PM_NODE to one of them"] }];
  }
  if (own.status !== "online") {
    return [
      {
        state: "failed",
        evidence: `The node ${wanted} is ${own.status}${list === "" ? "" : `; ${list}`}`,
        fix: ["Switch it on, or set PM_NODE to one that is online; on a node that is:", "$ pvecm status"],
      },
    ];
  }
  return [seen(`${wanted} is online${list === "" ? "" : `; ${list}`}`)];
}

/** What a storage is wanted for. */
interface Wanted {
  readonly setting: "PM_STORAGE" | "PM_ISO_STORAGE" | "PM_SNIPPET_STORAGE";
  readonly content: "images" | "iso" | "snippets";
  /** As the end of "… is for". */
  readonly purpose: string;
  /** Bytes without which nothing can be done. */
  readonly least: number;
  /** Bytes that are enough. */
  readonly enough: number;
}

/** Whether each storage is there, takes what it is wanted for, and has room. */
export async function storageFindings(look: NodeLook, signal: AbortSignal): Promise<Finding[]> {
  const [storages, declared] = await Promise.all([
    look.ask(signal, async (facts) => await facts.storages()),
    look.declared().catch((): Record<string, string> => ({})),
  ]);
  const disk = bytesOf(declared.disk_size) ?? 32 * GIB;
  const wanted: Wanted[] = [
    { setting: "PM_STORAGE", content: "images", purpose: "disks of VMs", least: SMALLEST_VM, enough: disk },
    { setting: "PM_ISO_STORAGE", content: "iso", purpose: "ISO images", least: 0, enough: ISO },
    // Nothing is put there unless an environment has a snippet.
    ...(declared.user_data
      ? [
          {
            setting: "PM_SNIPPET_STORAGE",
            content: "snippets",
            purpose: "cloud-init snippets",
            least: 0,
            enough: 0,
          } as const,
        ]
      : []),
  ];
  return wanted.flatMap((each) => {
    const name = look.settings[each.setting];
    const found = storages.find((storage) => storage.name === name);
    return found === undefined ? [absent(name, each, storages)] : stateOf(found, each, look.shell);
  });
}

function absent(name: string, { setting, content, purpose }: Wanted, all: readonly NodeStorage[]): Finding {
  const fitting = all.filter((storage) => storage.content.includes(content)).map((storage) => storage.name);
  return {
    state: "failed",
    evidence: `There is no storage ${name} for ${purpose}, or the token may not see it; for that there are ${fitting.join(", ") || "none that it may see"}`,
    fix: [`Set ${setting} to one of them`, "Or, if it is there, let the token see it:", "$ npm run pve-init"],
  };
}

function stateOf(storage: NodeStorage, wanted: Wanted, shell: NodeShell): Finding[] {
  const { name, active, enabled, content, free, total } = storage;
  const { setting, purpose, least, enough } = wanted;
  if (!enabled || !active) {
    return [
      {
        state: "failed",
        evidence: `The storage ${name} (${setting}) is ${enabled ? "not active: the node does not reach it" : "disabled"}`,
        fix: [
          "Look at it on the node:",
          "$ pvesm status",
          ...(enabled ? [] : [`$ pvesm set ${name} --disable 0`]),
        ],
      },
    ];
  }
  const room = `${formatBytes(free)} of ${formatBytes(total)} are free`;
  const findings: Finding[] = content.includes(wanted.content) ? [] : [lacking(storage, wanted, shell)];
  if (free < enough) {
    findings.push({
      state: free < least ? "failed" : "warning",
      evidence: `The storage ${name} (${setting}) is nearly full: ${room}, ${formatBytes(enough)} are wanted for ${purpose}`,
      fix: [
        "Free some space; what our own runs have left:",
        "$ npm run leftovers",
        `Or set ${setting} to another storage`,
      ],
    });
  }
  return findings.length > 0 ? findings : [seen(`${name} takes ${purpose}; ${room}`)];
}

function lacking(storage: NodeStorage, { setting, content, purpose }: Wanted, shell: NodeShell): Finding {
  const { name, type } = storage;
  const evidence = `The storage ${name} (${setting}) does not take ${purpose}: it takes ${storage.content.join(", ") || "nothing"}`;
  const repair = addContent(storage, content, shell);
  if (repair !== undefined) {
    return { state: "failed", evidence, fix: ["Let it take them, on the node:", ...repair.shows], repair };
  }
  const fix = [`A storage of type ${type} cannot: set ${setting} to one that does`];
  return { state: "failed", evidence, fix };
}

/**
 * How a storage comes to take one more kind of content.
 * @returns undefined for a storage that cannot
 */
export function addContent(
  { name, type, content }: NodeStorage,
  kind: string,
  shell: NodeShell,
): Repair | undefined {
  if (!OF_FILES.includes(type) && kind !== "images") return undefined;
  const words = ["pvesm", "set", name, "--content", [...content, kind].join(",")];
  return {
    title: `Let the storage ${name} take ${kind}`,
    shows: [`$ ${words.join(" ")}`],
    question: `Run it on ${shell.target.host}?`,
    async run(signal) {
      await shell.run(words, { signal });
      return {};
    },
  };
}

/** Whether the bridge is there. */
export async function bridgeFindings(look: NodeLook, signal: AbortSignal): Promise<Finding[]> {
  const { PM_BRIDGE: bridge, PM_NODE: node } = look.settings;
  const bridges = await look.ask(signal, async (facts) => await facts.bridges());
  if (bridges.includes(bridge)) return [seen(`${bridge} is there`)];
  return [
    {
      state: "failed",
      evidence: `The node ${node} has no bridge ${bridge}, or the token may not use it; there are ${bridges.join(", ") || "none that it may use"}`,
      fix: [
        "Set PM_BRIDGE to one of them",
        "Or, if it is there, let the token use it:",
        "$ npm run pve-init",
      ],
    },
  ];
}

/** "32G" in bytes. */
function bytesOf(size = ""): number | undefined {
  const [, amount, unit = "G"] = /^(\d+)([GT])$/.exec(size) ?? [];
  return amount === undefined ? undefined : Number(amount) * GIB * (unit === "T" ? 1024 : 1);
}
