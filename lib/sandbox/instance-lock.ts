import { linkSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { processIdentity } from "./process-identity.ts";
import { readIfThere } from "./world/index.ts";

/** Exit code of a sandbox process that found another one serving its directory. */
export const EXIT_ALREADY_SERVED = 75;

/** Another process serves the directory. */
export class AlreadyServedError extends Error {
  override readonly name = "AlreadyServedError";
  readonly pid: number;

  constructor(dir: string, pid: number) {
    super(`process ${pid} serves ${dir} already`);
    this.pid = pid;
  }
}

/**
 * Claim a directory for this process, so that two sandboxes never write one world. What a killed process has left is
 * taken over.
 * @returns gives the claim back
 * @throws {AlreadyServedError}
 */
export function claimDirectory(dir: string): () => void {
  const lock = join(dir, "sandbox.lock");
  const mine = `${process.pid} ${processIdentity(process.pid)}\n`;
  const draft = `${lock}.${process.pid}`;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  writeFileSync(draft, mine, { mode: 0o600 });
  try {
    for (let attempt = 0; attempt < 10; attempt += 1) {
      if (linked(draft, lock)) return () => release(lock, mine);
      const holder = readIfThere(lock);
      if (holder === undefined) continue;
      const pid = Number(holder.split(" ", 1)[0]);
      if (holder === `${pid} ${processIdentity(pid)}\n`) throw new AlreadyServedError(dir, pid);
      setAside(lock, holder);
    }
    throw new Error(`${lock} could not be had`);
  } finally {
    rmSync(draft, { force: true });
  }
}

/** A hard link is made by one process only, with its content complete. */
function linked(draft: string, lock: string): boolean {
  try {
    linkSync(draft, lock);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** Remove a dead process's lock, unless another process has just replaced it. */
function setAside(lock: string, expected: string): void {
  const aside = `${lock}.stale.${process.pid}`;
  try {
    renameSync(lock, aside);
  } catch {
    return;
  }
  if (readIfThere(aside) !== expected) linked(aside, lock);
  rmSync(aside, { force: true });
}

function release(lock: string, mine: string): void {
  if (readIfThere(lock) === mine) rmSync(lock, { force: true });
}
