import type { ProxmoxApi } from "../api/client.ts";
import { inventory } from "../inventory.ts";
import { imagesToImport } from "./images-to-import.ts";
import type { Leftover, LockLook } from "./leftover.ts";
import { vmLeftovers } from "./vms.ts";

/** Where leftovers are looked for, and what tells them from what is under way. */
export interface Surroundings {
  readonly api: ProxmoxApi;
  readonly node: string;
  /** The node's time: milliseconds since the epoch. */
  now(): number;
  /** Left out where nobody can log in and look. */
  readonly isLocked: LockLook | undefined;
  /** What this machine knows of a build, by the image's name and the run's eight digits. */
  readonly fateOfBuild?: ((name: string, run: string) => "ended" | "goes on" | "unknown") | undefined;
}

/**
 * What the API shows: VMs that never became templates, images to import, disks that our VMs have but do not use.
 * @param where `now` left out, the node's own clock counts
 */
export async function leftoversByApi(
  where: Omit<Surroundings, "now"> & { readonly now?: (() => number) | undefined },
  signal: AbortSignal,
): Promise<Leftover[]> {
  const vms = await inventory(where.api, signal);
  const around = { ...where, now: where.now ?? (() => nodeTime(where.api)) };
  const [ofVms, images] = await Promise.all([
    Promise.all(vms.map(async (vm) => await vmLeftovers(around, vm, signal))),
    imagesToImport(around, vms, signal),
  ]);
  // An image goes before the VM by which it is known whose it is.
  return [...images, ...ofVms.flat()];
}

/** The node's time as its answers had it, for that is the clock of what lies there. */
function nodeTime({ heardClock }: ProxmoxApi): number {
  return heardClock === undefined ? Date.now() : heardClock.theirs + Date.now() - heardClock.receivedAt;
}
