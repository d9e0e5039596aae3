import { setTimeout as sleep } from "node:timers/promises";
import type { RunOptions } from "../process.ts";
import { type Application, applications, syncFailure } from "./applications.ts";
import { ARGO_NAMESPACE } from "./argo.ts";
import type { Kubectl } from "./kubectl.ts";

/** What is waited for. */
export interface SyncGoal {
  /** Whose Applications: those that come from this repository. */
  readonly repoURL: string;
  /** The commit that they are to be at. */
  readonly commit: string;
  /** Whether what they consist of has to run as well. */
  readonly healthy: boolean;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Told the state of each, whenever one has changed. */
  readonly onProgress?: (line: string) => void;
}

/** What the waiting came to. */
export interface SyncOutcome {
  readonly applications: readonly Application[];
  /** Whether all of them got there in time. */
  readonly reached: boolean;
}

const EVERY_MS = 500;
/** How long an error has to last: one that passes is none. */
const LASTING_MS = 10_000;
/**
 * How soon Argo CD is asked once more for what has an error: one that has passed, such as a project that was made a
 * moment later, it finds out at its next look, minutes later.
 */
const AGAIN_MS = 3000;

/**
 * Have Argo CD look at the repository now, and wait until its Applications are at a commit. The root application makes
 * the others, so there are more of them as time goes by.
 * @throws {TaskError} for an Application that cannot be compared or synced
 */
export async function waitForSync(kubectl: Kubectl, goal: SyncGoal): Promise<SyncOutcome> {
  const { signal } = goal;
  const deadline = performance.now() + goal.timeoutMs;
  const asked = new Map<string, number>();
  const failingSince = new Map<string, number>();
  let said = "";
  for (;;) {
    const all = (await applications(kubectl, { signal })).filter(({ repoURL }) => repoURL === goal.repoURL);
    const line = all.map(stateOf).join(" · ");
    if (line !== said) goal.onProgress?.(line);
    said = line;
    const open = all.filter((each) => !isThere(each, goal));
    if (all.length > 0 && open.length === 0) return { applications: all, reached: true };
    const late = performance.now() > deadline;
    for (const each of all) {
      if (each.problem === undefined) failingSince.delete(each.name);
      else if (!failingSince.has(each.name)) failingSince.set(each.name, performance.now());
      const since = failingSince.get(each.name);
      if (since !== undefined && (late || performance.now() - since > LASTING_MS))
        throw syncFailure(kubectl, each);
    }
    if (late) return { applications: all, reached: false };
    const stale = open.filter(({ name, revision, problem }) => {
      const before = asked.get(name);
      if (before === undefined) return revision !== goal.commit || problem !== undefined;
      return problem !== undefined && performance.now() - before > AGAIN_MS;
    });
    await refresh(kubectl, stale, { signal });
    for (const { name } of stale) asked.set(name, performance.now());
    await sleep(EVERY_MS, undefined, { signal });
  }
}

function isThere({ sync, health, revision }: Application, { commit, healthy }: SyncGoal): boolean {
  return sync === "Synced" && revision === commit && (!healthy || health === "Healthy");
}

/** An Application's state in a few words: "phpipam Synced Progressing". */
function stateOf({ name, sync, health }: Application): string {
  return sync === undefined ? `${name} not looked at yet` : `${name} ${sync} ${health ?? ""}`.trimEnd();
}

/** Ask Argo CD to compare Applications with Git at once; by itself it does so every few minutes. */
async function refresh(kubectl: Kubectl, some: readonly Application[], options: RunOptions): Promise<void> {
  if (some.length === 0) return;
  const names = some.map(({ name }) => `applications.argoproj.io/${name}`);
  const flags = ["argocd.argoproj.io/refresh=normal", "--overwrite", "-n", ARGO_NAMESPACE];
  await kubectl.run(["annotate", ...names, ...flags], options);
}
