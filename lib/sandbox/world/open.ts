import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { AccessControl, type AccessData } from "./access.ts";
import { readIfThere, writeJsonAtomic } from "./atomic-file.ts";
import { type Interference, undisturbed } from "./interference.ts";
import { NodeFiles } from "./node-files.ts";
import type { PveRelease } from "./release.ts";
import { NodeStatistics } from "./statistics.ts";
import { StorageStore } from "./storages.ts";
import { TaskStore } from "./tasks.ts";
import type { Storage } from "./types.ts";
import { VmStore } from "./vms.ts";
import { CONTENT_DIRECTORY } from "./volume-id.ts";
import type { Bridge, Hardware, World } from "./world.ts";

/** What a new world consists of. */
export interface WorldPlan {
  /** Name of the node. */
  readonly node: string;
  readonly storages: readonly Storage[];
  readonly bridges: readonly Bridge[];
  readonly access: AccessData;
  readonly hardware?: Hardware;
  /** Proxmox VE 9 when it is left out. */
  readonly release?: PveRelease;
}

export interface WorldOptions {
  /** How long tasks take, as a share of what a real node needs: 0 at once, 1 as long as there. */
  readonly timeScale?: number;
  /** What goes wrong on purpose; nothing when it is left out. */
  readonly interference?: Interference;
}

/** What is decided once, when the world is made. */
interface NodeFacts {
  readonly node: string;
  readonly storages: readonly Storage[];
  readonly bridges: readonly Bridge[];
  readonly hardware: Hardware;
  readonly release: PveRelease;
}

/** A VM takes nothing of it really, so that the node need not be as small as the machine that it runs on. */
const ROOMY_HARDWARE: Hardware = { cpus: 16, memory: 64 * 1024 ** 3 };
const DEFAULT_TIME_SCALE = 0.005;
/** What every node has besides its storages. */
const NODE_DIRECTORIES = ["/root", "/tmp", "/etc/pve", "/mnt", "/var/log", "/var/lib", "/var/tmp"];

/**
 * Open the world in a directory, or make it there.
 * @param dir belongs to the sandbox alone; made with mode 0700
 * @param plan used when there is none yet; an existing world keeps what it has
 */
export function openWorld(dir: string, plan: WorldPlan, options: WorldOptions = {}): World {
  const { timeScale = DEFAULT_TIME_SCALE, interference = undisturbed } = options;
  const root = join(dir, "rootfs");
  const state = join(dir, "state");
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  mkdirSync(root, { recursive: true });

  const facts = readFacts(join(state, "node.json"), plan);
  const files = new NodeFiles(root, interference);
  for (const directory of NODE_DIRECTORIES) mkdirSync(files.toHost(directory), { recursive: true });
  for (const storage of facts.storages) {
    for (const content of storage.content) {
      mkdirSync(files.toHost(`${storage.path}/${CONTENT_DIRECTORY[content]}`), { recursive: true });
    }
  }
  const bootedAt = Date.now();
  const vms = new VmStore(files.toHost(`/etc/pve/nodes/${facts.node}/qemu-server`), join(state, "vms"));
  return {
    dir,
    ...facts,
    files,
    vms,
    statistics: new NodeStatistics(() => vms.list().map((vm) => vm.vmid)),
    storages: new StorageStore(facts.storages, files, interference),
    tasks: new TaskStore(join(state, "tasks"), facts.node, { bootedAt, timeScale, interference }),
    access: new AccessControl(join(state, "access.json"), plan.access, facts.release),
    bootedAt,
  };
}

function readFacts(file: string, plan: WorldPlan): NodeFacts {
  const text = readIfThere(file);
  // A world that was made before there was a choice is one of 9.
  if (text !== undefined) return { release: 9, ...(JSON.parse(text) as Omit<NodeFacts, "release">) };
  const { node, storages, bridges, hardware = ROOMY_HARDWARE, release = 9 } = plan;
  const facts: NodeFacts = { node, storages, bridges, hardware, release };
  writeJsonAtomic(file, facts);
  return facts;
}
