import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { goesOn } from "../run-mark.ts";
import { environmentPlaces, journalFolder } from "./environments.ts";
import type { Guest } from "./guards.ts";
import { makerOf } from "./half-made.ts";
import { type BegunRun, Journal } from "./journal.ts";
import { orphansOf } from "./orphans.ts";
import { vmsKnown } from "./state.ts";

/** A VM that a run has begun to make, and that no state is known to know. */
export interface Interrupted {
  readonly guest: Guest;
  readonly environment: string;
  readonly run: BegunRun;
  /** Why it is not to be removed; undefined when that is safe. */
  readonly busy: string | undefined;
}

/**
 * What interrupted runs have left half made, in whatever environment of this repository. Unlike an apply this has no plan
 * to tell what the state knows: where nobody can tell, nothing is to be removed.
 * @param guests every VM and template of the cluster
 * @param root the repository's folder
 * @param sandbox the embedded node's folder, where that is meant
 */
export async function interrupted(
  guests: readonly Guest[],
  root: string,
  sandbox?: string,
): Promise<Interrupted[]> {
  const folder = journalFolder(root, sandbox);
  const files = existsSync(folder) ? readdirSync(folder) : [];
  const environments = files.flatMap((file) => /^([\w-]+)\.json$/.exec(file)?.[1] ?? []);
  const found = await Promise.all(
    environments.map(async (environment) => {
      const { journal, stateDir } = environmentPlaces(root, environment, sandbox);
      const begun = new Journal(journal).begun();
      const made = guests.flatMap((guest) => {
        const run = guest.template ? undefined : makerOf(guest, begun);
        return run === undefined ? [] : [{ guest, run }];
      });
      if (made.length === 0) return [];
      const directory = join(root, "terraform", "envs", environment);
      // Asked first: what such a process writes into the state meanwhile is in what is read then.
      const atWork = orphansOf(stateDir ?? directory);
      const known = await vmsKnown(directory, stateDir);
      return made
        .filter(({ guest }) => !known?.has(guest.vmid))
        .map(({ guest, run }) => ({
          guest,
          environment,
          run,
          busy: busyBecause(environment, run, atWork, known !== undefined),
        }));
    }),
  );
  return found.flat();
}

function busyBecause(
  environment: string,
  { mark }: BegunRun,
  atWork: readonly number[],
  told: boolean,
): string | undefined {
  if (atWork.length > 0)
    return `OpenTofu of a run that was killed is still at work (process ${atWork.join(", ")})`;
  if (mark !== undefined && goesOn(mark)) return `process ${mark.pid} is at it`;
  const settles = `npm run tf-apply -- --env ${environment} settles it`;
  if (mark === undefined || goesOn(mark) === undefined) return `its run may go on elsewhere; ${settles}`;
  return told ? undefined : `whether the state of ${environment} knows it cannot be told here; ${settles}`;
}
