import { goesOn } from "../../run-mark.ts";
import type { MadeVm, VmMaker } from "../vm-maker.ts";
import { parseUploadMark } from "./mark.ts";
import { namesakesOf } from "./namesakes.ts";

/** What is looked for. */
export interface InterruptedQuery {
  readonly name: string;
  /** Nobody else who takes the lock of this name uploads it now, on whatever machine: the lock is ours. */
  readonly alone: boolean;
}

/**
 * VMs of a name that uploads have left which were killed: each bears our mark, and its run is gone. That is known for runs
 * of this machine; for those of other machines with the lock of the name, which a run by the API does not take.
 */
export async function interruptedUploads(
  vms: VmMaker,
  { name, alone }: InterruptedQuery,
  signal: AbortSignal,
): Promise<MadeVm[]> {
  return (await namesakesOf(vms, name, { signal })).filter(({ config }) => {
    const { description = "", template, tags = "" } = config;
    if (template === "1" || !tags.split(/[;, ]/).includes("homelab")) return false;
    const mark = parseUploadMark(description);
    if (mark === undefined) return false;
    const lives = goesOn(mark.run);
    return lives === false || (lives === undefined && alone && mark.locked);
  });
}
