import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { AccessControl, type AccessData } from "./access.ts";
import { readIfThere, writeJsonAtomic } from "./atomic-file.ts";
import { type Interference, undisturbed } from "./interference.ts";
import { NodeFiles } from "./node-files.ts";
import { PVE_VERSIONS, type PveRelease, type PveVersion } from "./release.ts";
import { NodeStatistics } from "./statistics.ts";
import { StorageStore } from "./storages.ts";
import { TaskStore } from "./tasks.ts";
import type { Storage } from "./types.ts";
import { VmStore } from "./vms.ts";
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
/** What a processor of the last ten years can do, as far as guests ask. */
const USUAL_CPU =
  "fpu vme msr sse sse2 vmx ssse3 fma cx16 sse4_1 sse4_2 movbe popcnt aes xsave avx f16c lahf_lm abm bmi1 avx2 bmi2";
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

  const factsFile = join(state, "node.json");
  const facts = readFacts(factsFile, plan);
  const files = new NodeFiles(root, interference);
  for (const directory of NODE_DIRECTORIES) mkdirSync(files.toHost(directory), { recursive: true });
  const bootedAt = Date.now();
  const vms = new VmStore(files.toHost(`/etc/pve/nodes/${facts.node}/qemu-server`), join(state, "vms"));
  return {
    dir,
    ...facts,
    files,
    vms,
    statistics: new NodeStatistics(() => vms.list().map((vm) => vm.vmid)),
    storages: new StorageStore(facts.storages, files, interference, (storages) =>
      writeJsonAtomic(factsFile, { ...facts, storages }),
    ),
    tasks: new TaskStore(join(state, "tasks"), facts.node, { bootedAt, timeScale, interference }),
    access: new AccessControl(join(state, "access.json"), plan.access, facts.release),
    bootedAt,
    version: () => versionOf(facts.release, interference.version()),
    now: () => Date.now() + interference.clockAhead(),
    cpuFlags: () => interference.cpuFlags() ?? USUAL_CPU,
  };
}

function versionOf(release: PveRelease, said: string | undefined): PveVersion {
  const own = PVE_VERSIONS[release];
  return said === undefined ? own : { ...own, version: said, release: said.match(/^\d+\.\d+/)?.[0] ?? said };
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
