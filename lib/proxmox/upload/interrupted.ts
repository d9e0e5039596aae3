import { goesOn, parseMark } from "../../run-mark.ts";
import { parseNotes } from "../image-metadata.ts";
import type { MadeVm, VmMaker } from "../vm-maker.ts";

/** What is looked for. */
export interface InterruptedQuery {
  readonly name: string;
  /** Of the image: a VM whose notes tell it, and that is no template yet, is an upload's that came to its last step. */
  readonly sha256: string;
  /** Nobody but us uploads this name now, on whatever machine: the lock of its name is ours. */
  readonly alone: boolean;
}

/**
 * VMs of a name that uploads have left which were killed: each bears our mark, and its run is gone. Without the lock of
 * the name that is known for runs of this machine alone.
 */
export async function interruptedUploads(
  vms: VmMaker,
  { name, sha256, alone }: InterruptedQuery,
  signal: AbortSignal,
): Promise<MadeVm[]> {
  const namesakes = (await vms.list({ signal })).filter((vm) => vm.name === name);
  const found: MadeVm[] = [];
  for (const vm of namesakes) {
    const { description = "", template, tags = "" } = await vms.config(vm.vmid, { signal });
    if (template === "1" || !tags.split(/[;, ]/).includes("homelab")) continue;
    const run = description.startsWith("Being uploaded") ? parseMark(description) : undefined;
    const ended = run === undefined ? undefined : goesOn(run) === false;
    const ours = run !== undefined || parseNotes(description)?.qcow2_sha256 === sha256;
    if (ended || (alone && ours)) found.push(vm);
  }
  return found;
}
