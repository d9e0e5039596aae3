import type { Guest } from "./guards.ts";
import type { BegunRun } from "./journal.ts";
import type { Plan } from "./plan.ts";

/** A VM that a run has left half made, and no state knows. */
export interface HalfMade {
  readonly guest: Guest;
  readonly run: BegunRun;
}

/**
 * VMs that the plan is to make and an interrupted run has begun to make: its number stands in their notes, and its journal
 * was never closed.
 */
export function halfMade(plan: Plan, guests: readonly Guest[], begun: readonly BegunRun[]): HalfMade[] {
  const known = new Set(plan.resources.flatMap(({ before }) => before?.vmid ?? []));
  const wanted = new Set(plan.changes.flatMap(({ after }) => after?.name ?? []));
  return guests.flatMap((guest) => {
    if (guest.template || known.has(guest.vmid) || !wanted.has(guest.name)) return [];
    const run = makerOf(guest, begun);
    return run === undefined ? [] : [{ guest, run }];
  });
}

/** The run that has begun to make a VM: its number stands in the VM's notes, and the VM was not there before it. */
export function makerOf(guest: Guest, begun: readonly BegunRun[]): BegunRun | undefined {
  return begun.find(
    ({ id, guests: before }) =>
      !before.includes(guest.vmid) && guest.config?.description?.includes(`run ${id}`),
  );
}

/** VMs that were not there before an interrupted run and are being cloned: until that is done they have no name. */
export function beingCloned(guests: readonly Guest[], begun: readonly BegunRun[]): Guest[] {
  return guests.filter(
    ({ vmid, config }) =>
      config?.lock === "clone" && begun.some(({ guests: before }) => !before.includes(vmid)),
  );
}
