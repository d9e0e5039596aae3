import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/**
 * Something that stays the same for a process and differs from any later process with the same pid.
 * @returns undefined when no such process runs
 */
export function processIdentity(pid: number): string | undefined {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // Somebody else's process runs, but is none of ours.
    return (error as NodeJS.ErrnoException).code === "EPERM" ? "foreign" : undefined;
  }
  const stat = readIfThere(`/proc/${pid}/stat`);
  if (stat === undefined) return `pid ${pid}`;
  // The name, second field, may hold anything: count the fields after its closing bracket.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  // A zombie has ended already.
  return fields[0] === "Z" ? undefined : `start ${fields[19]}`;
}

/** What `tryLock` came to: a lock to release, or the process that holds it. */
export type LockAttempt =
  | { readonly held: true; release(): void }
  | { readonly held: false; readonly holder: number };

/**
 * Take a lock file for this process, or say who has it. What a killed process has left is taken over.
 * @param file the lock file; its folder is made
 */
export function tryLock(file: string): LockAttempt {
  const mine = `${process.pid} ${processIdentity(process.pid)}\n`;
  const draft = `${file}.${process.pid}`;
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  writeFileSync(draft, mine, { mode: 0o600 });
  try {
    for (;;) {
      if (linked(draft, file)) return { held: true, release: () => release(file, mine) };
      const text = readIfThere(file);
      if (text === undefined) continue;
      const holder = Number(text.split(" ", 1)[0]);
      if (text === `${holder} ${processIdentity(holder)}\n`) return { held: false, holder };
      setAside(file, text);
    }
  } finally {
    rmSync(draft, { force: true });
  }
}

/** A hard link is made by one process only, with its content complete. */
function linked(draft: string, file: string): boolean {
  try {
    linkSync(draft, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** Remove a dead process's lock, unless another process has just replaced it. */
function setAside(file: string, expected: string): void {
  const aside = `${file}.stale.${process.pid}`;
  try {
    renameSync(file, aside);
  } catch {
    return;
  }
  if (readIfThere(aside) !== expected) linked(aside, file);
  rmSync(aside, { force: true });
}

function release(file: string, mine: string): void {
  if (readIfThere(file) === mine) rmSync(file, { force: true });
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}
