import { readRemote } from "../../lib/git.ts";
import {
  type Application,
  applications,
  type ClusterSession,
  type Kubectl,
  REPOSITORY_FILE,
  readRepository,
  syncFailure,
  waitForSync,
} from "../../lib/k8s/index.ts";
import { missingForSync, syncingArgo } from "../../lib/sandbox/index.ts";
import type { Step, StepControl } from "../../lib/task/index.ts";

/** A new Application is looked at within seconds; cloning a large repository takes longer. */
const SYNCED_MS = 120_000;

/** What has become of the Applications. */
export interface SyncRequest {
  /** A working tree that names the repository. */
  readonly tree: string;
  /** The sandbox's folder, on the sandbox. */
  readonly sandboxDir?: string | undefined;
  /** Told what is there in the end. */
  readonly done?: (applications: readonly Application[]) => void;
}

/**
 * Wait until Argo CD has brought the Applications to what Git has. In the sandbox they have to run as well: there that
 * takes seconds. On a real node images are pulled, and charts may wait for a Secret; `status` shows how far they are.
 */
export function syncStep({ tree, sandboxDir, done }: SyncRequest, cluster: ClusterSession): Step {
  return {
    title: "Wait until the Applications are as in Git",
    leaves: "The root application is applied; Argo CD goes on by itself",
    async run({ signal, output, note }) {
      const kubectl = await cluster.kubectl(signal);
      const reason = sandboxDir === undefined ? undefined : await whyNothingSyncs(sandboxDir);
      if (reason !== undefined) {
        note(reason);
        return done?.(await demandNoFailure(kubectl, signal));
      }
      const { repoURL, targetRevision } = await readRepository(tree);
      const { commit } = await readRemote(repoURL, targetRevision, REPOSITORY_FILE, signal);
      output("waiting for Argo CD to look at the repository");
      const outcome = await waitForSync(kubectl, {
        repoURL,
        commit,
        healthy: sandboxDir !== undefined,
        timeoutMs: SYNCED_MS,
        signal,
        onProgress: output,
      });
      if (!outcome.reached) tellLate(note, outcome.applications);
      done?.(outcome.applications);
    },
  };
}

/**
 * Why Argo CD syncs nothing in a sandbox: its pods are simulated, and what would run in their place is not there.
 * @returns undefined where it does
 */
async function whyNothingSyncs(sandboxDir: string): Promise<string | undefined> {
  if ((await syncingArgo(sandboxDir)) !== undefined) return undefined;
  const missing = await missingForSync();
  if (missing.length === 0) return undefined;
  const ways = [...new Set(missing.map(({ get }) => get))].map((command) => `$ ${command}`);
  const names = missing.map(({ name }) => name).join(" and ");
  return `Argo CD's own pods are simulated: it syncs nothing. With ${names} it would: ${ways.join("; ")}`;
}

/** What an Argo CD that does not look any more has said before. */
async function demandNoFailure(kubectl: Kubectl, signal: AbortSignal): Promise<readonly Application[]> {
  const all = await applications(kubectl, { signal });
  const failed = all.find(({ problem }) => problem !== undefined);
  if (failed !== undefined) throw syncFailure(kubectl, failed);
  return all;
}

function tellLate(note: StepControl["note"], all: readonly Application[]): void {
  const states = all.map(({ name, sync, health }) =>
    `${name} ${sync ?? "not looked at yet"} ${health ?? ""}`.trimEnd(),
  );
  note(
    `Not all is as in Git after ${SYNCED_MS / 60_000} minutes: ${states.join(", ") || "Argo CD has not looked yet"}; npm run status shows when it is`,
  );
}
