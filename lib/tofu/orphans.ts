import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TaskError } from "../errors.ts";
import { pollUntil } from "../poll.ts";
import { neededFolders } from "../temporary.ts";

/** In a run's private folder: the state it works on, and the API's address, a line each. */
const STATE_FILE = ".state";

/** As long as an interrupted one is given (lib/gentle.ts): a clone under way has to get into the state. */
const PATIENCE_MS = 15 * 60_000;

/** Say which state the OpenTofu of a private folder works on, and on which node. */
export function noteState(folder: string, state: string, api: string): void {
  writeFileSync(join(folder, STATE_FILE), `${state}\n${api}\n`, { mode: 0o600 });
}

interface Waiting {
  readonly signal: AbortSignal;
  /** Told once that it is waited for. */
  say(line: string): void;
  /**
   * On the sandbox, the embedded node's address: each start has another one. What works at an older one would ask a node
   * that has ended, for half an hour, and is ended as well.
   */
  readonly embedded?: string | undefined;
}

/**
 * Wait for the OpenTofu that a killed run has left at work on a state: it ends what it has begun and writes it down.
 * @param state the folder it lies in
 * @throws {TaskError} when it does not end
 */
export async function untilOrphansEnd(state: string, { signal, say, embedded }: Waiting): Promise<void> {
  if (embedded !== undefined) endAtOtherNodes(state, embedded);
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

/**
 * The processes of an OpenTofu that a killed run has left at work on a state.
 * @param state the folder it lies in
 */
export function orphansOf(state: string, of: (api: string) => boolean = () => true): number[] {
  return neededFolders().flatMap(({ path, pids }) => {
    try {
      const [place, api = ""] = readFileSync(join(path, STATE_FILE), "utf8").split("\n");
      return place === state && of(api) ? pids : [];
    } catch {
      return [];
    }
  });
}

/** End those whose node is gone: OpenTofu leads a group of processes, its providers are in it. */
function endAtOtherNodes(state: string, embedded: string): void {
  for (const pid of orphansOf(state, (api) => api !== embedded)) {
    try {
      process.kill(-pid, "SIGKILL");
    } catch {
      // It has just ended.
    }
  }
}
