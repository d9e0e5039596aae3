import { join } from "node:path";
import * as v from "valibot";
import { readIfThere, removeIfThere, writeJsonAtomic } from "../world/index.ts";

const schema = v.object({ version: v.string() });
/** Which controllers run. */
export type RunningControllers = v.InferOutput<typeof schema>;

/** Note which controllers run, for other processes; undefined when none do. */
export function recordRunning(dir: string, running: RunningControllers | undefined): void {
  if (running === undefined) removeIfThere(recordFile(dir));
  else writeJsonAtomic(recordFile(dir), running);
}

/** Which controllers run, as a sandbox that is serving has noted. */
export function runningControllers(sandboxDir: string): RunningControllers | undefined {
  const text = readIfThere(recordFile(gitOpsFolder(sandboxDir)));
  return text === undefined ? undefined : v.parse(schema, JSON.parse(text));
}

/** Where a sandbox keeps what belongs to them. */
function gitOpsFolder(sandboxDir: string): string {
  return join(sandboxDir, "cluster", "argocd");
}

function recordFile(dir: string): string {
  return join(dir, "running.json");
}
