import { closeSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname } from "node:path";

/**
 * Write a small file so that readers, and whoever comes after a crash, see the old or the new text and never a part.
 * @param file absolute path; its directory is made when it is missing
 * @param mode permissions of a new file; 0600 because state holds keys and hashes
 */
export function writeFileAtomic(file: string, text: string, mode = 0o600): void {
  mkdirSync(dirname(file), { recursive: true });
  // One process writes a world: what a killed one has left half-written is written over.
  const temporary = `${file}.tmp`;
  const handle = openSync(temporary, "w", mode);
  try {
    writeSync(handle, text);
  } finally {
    closeSync(handle);
  }
  renameSync(temporary, file);
}

/** Write a value as JSON, all or nothing. */
export function writeJsonAtomic(file: string, value: unknown): void {
  writeFileAtomic(file, `${JSON.stringify(value, null, 2)}\n`);
}

/** A file's text, or undefined when there is none. */
export function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Remove a file; one that is already gone is fine. */
export function removeIfThere(file: string): void {
  rmSync(file, { force: true });
}

/** Whether an error says that a file or directory does not exist. */
export function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ENOENT";
}
