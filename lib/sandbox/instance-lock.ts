import { join } from "node:path";
import { tryLock } from "../lock.ts";

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
  const lock = tryLock(join(dir, "sandbox.lock"));
  if (!lock.held) throw new AlreadyServedError(dir, lock.holder);
  return () => lock.release();
}
