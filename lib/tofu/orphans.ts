import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TaskError } from "../errors.ts";
import { pollUntil } from "../poll.ts";
import { neededFolders } from "../temporary.ts";

/** In a run's private folder: the state it works on. */
const STATE_FILE = ".state";

/** As long as an interrupted one is given (lib/gentle.ts): a clone under way has to get into the state. */
const PATIENCE_MS = 15 * 60_000;

/** Say which state the OpenTofu of a private folder works on. */
export function noteState(folder: string, state: string): void {
  writeFileSync(join(folder, STATE_FILE), state, { mode: 0o600 });
}

/**
 * Wait for the OpenTofu that a killed run has left at work on a state: it ends what it has begun and writes it down.
 * @param state the folder it lies in
 * @param say told once that it is waited for
 * @throws {TaskError} when it does not end
 */
export async function untilOrphansEnd(
  state: string,
  signal: AbortSignal,
  say: (line: string) => void,
): Promise<void> {
  let said = false;
  await pollUntil(
    async () => {
      const pids = orphansOf(state);
      if (pids.length === 0) return { value: true };
      const pending = `OpenTofu of a run that was killed is still at work (process ${pids.join(", ")})`;
      if (!said) say(`${pending}; waiting until it has written its state`);
      said = true;
      return { pending };
    },
    { timeoutMs: PATIENCE_MS, everyMs: 200, signal },
    (why) =>
      new TaskError({
        what: "The environment is still being changed",
        why,
        todo: [
          "See what it does, and end it if it hangs:",
          `$ ps -o pid,lstart,args -p ${orphansOf(state).join(",")}`,
        ],
        left: ["Nothing was changed"],
      }),
  );
}

function orphansOf(state: string): number[] {
  return neededFolders().flatMap(({ path, pids }) => {
    try {
      return readFileSync(join(path, STATE_FILE), "utf8") === state ? pids : [];
    } catch {
      return [];
    }
  });
}
