import type { AccessControl } from "./access.ts";
import type { NodeFiles } from "./node-files.ts";
import type { PveRelease, PveVersion } from "./release.ts";
import type { NodeStatistics } from "./statistics.ts";
import type { StorageStore } from "./storages.ts";
import type { TaskStore } from "./tasks.ts";
import type { VmStore } from "./vms.ts";

/** The state of the embedded node. Everything in it lies on disk under `dir` and survives the process. */
export interface World {
  readonly dir: string;
  /** Name of the node, for example "pve". */
  readonly node: string;
  /** The node's file system, kept under `dir/rootfs`. */
  readonly files: NodeFiles;
  readonly vms: VmStore;
  readonly storages: StorageStore;
  readonly tasks: TaskStore;
  readonly access: AccessControl;
  readonly statistics: NodeStatistics;
  readonly bridges: readonly Bridge[];
  /** Physical limits that the node states and enforces. */
  readonly hardware: Hardware;
  readonly release: PveRelease;
  /** What it says of its version. */
  version(): PveVersion;
  /** The node's clock: milliseconds since the epoch. */
  now(): number;
  /** The flags of its processors. */
  cpuFlags(): string;
  /** When the node was "booted": milliseconds since the epoch. */
  readonly bootedAt: number;
}

/** A Linux bridge of the node. */
export interface Bridge {
  readonly name: string;
  /** For example "10.23.45.2/24". */
  readonly cidr: string;
  readonly gateway: string;
}

/** What the node has to give to its VMs. */
export interface Hardware {
  readonly cpus: number;
  /** Bytes. */
  readonly memory: number;
}
