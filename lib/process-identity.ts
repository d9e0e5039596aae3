import { readFileSync } from "node:fs";

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
  const stat = statOf(pid);
  if (stat === undefined) return `pid ${pid}`;
  // The name, second field, may hold anything: count the fields after its closing bracket.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  // A zombie has ended already.
  return fields[0] === "Z" ? undefined : `start ${fields[19]}`;
}

function statOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return undefined;
  }
}
