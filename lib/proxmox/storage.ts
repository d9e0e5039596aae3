import { TaskError } from "../errors.ts";
import type { RunOptions } from "../process.ts";
import { formatBytes } from "../progress.ts";
import type { NodeShell } from "./ssh.ts";

/** A storage as `pvesm status` shows it. */
export interface StorageStatus {
  readonly name: string;
  readonly type: string;
  readonly active: boolean;
  /** Bytes. */
  readonly available: number;
}

/** All storages of the node. */
export async function storages(shell: NodeShell, options: RunOptions = {}): Promise<StorageStatus[]> {
  const { stdout } = await shell.run(["pvesm", "status"], options);
  return stdout
    .split("\n")
    .slice(1)
    .flatMap((line) => {
      const [name, type, status, , , available] = line.trim().split(/\s+/);
      if (name === undefined || type === undefined || available === undefined) return [];
      return [{ name, type, active: status === "active", available: Number(available) * 1024 }];
    });
}

/**
 * A storage that is there, active and has room.
 * @param needed bytes
 * @throws {TaskError} with the numbers, or the storages there are
 */
export function demandSpace(all: readonly StorageStatus[], name: string, needed: number): void {
  const storage = all.find((each) => each.name === name);
  if (storage === undefined) {
    throw new TaskError({
      what: `There is no storage ${name} on the node`,
      why: `It has ${all.map((each) => each.name).join(", ") || "none"}`,
      todo: ["Set PM_STORAGE to one of them"],
    });
  }
  if (!storage.active) {
    throw new TaskError({
      what: `The storage ${name} is not active`,
      why: "The node lists it, and cannot reach what is behind it",
      todo: ["Look at it on the node:", "$ pvesm status"],
    });
  }
  if (storage.available < needed) {
    throw new TaskError({
      what: `The storage ${name} is too full`,
      why: `${formatBytes(needed)} are needed, ${formatBytes(storage.available)} are free`,
      todo: ["Free some space, or choose another storage with PM_STORAGE; what is there:", "$ pvesm status"],
    });
  }
}
