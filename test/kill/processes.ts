import { readdirSync, readFileSync } from "node:fs";
import { runs } from "../support/processes.ts";

/** Variable that marks everything a run has started: children inherit it, whoever becomes their parent. */
export const RUN_VARIABLE = "HOMELAB_TEST_RUN";

/** A process that a run has started, whether or not the run still goes on. */
export interface Descendant {
  readonly pid: number;
  readonly command: string;
}

/** Everything alive that bears a run's mark. */
export function startedBy(mark: string): Descendant[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .flatMap((pid) => {
      try {
        const environment = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
        if (!environment.includes(`${RUN_VARIABLE}=${mark}`) || !runs(pid)) return [];
        const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
        return [{ pid, command: command.slice(0, 160) }];
      } catch {
        return [];
      }
    });
}

/** End everything that bears a run's mark at once, and what it starts in the meantime. */
export function killAll(mark: string): void {
  const killed = new Set<number>();
  for (let found = startedBy(mark); found.length > 0; found = startedBy(mark)) {
    for (const { pid } of found) {
      killed.add(pid);
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It has ended in the meantime.
      }
    }
  }
  // A large process loses its environment, and with it the mark, some time before it has ended.
  const wait = new Int32Array(new SharedArrayBuffer(4));
  while ([...killed].some(runs)) Atomics.wait(wait, 0, 0, 5);
}
