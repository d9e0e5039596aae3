import { randomBytes } from "node:crypto";
import { TaskError } from "../../errors.ts";
import { formatMark, runMark } from "../../run-mark.ts";
import type { Qcow2 } from "../qcow2.ts";
import { type TemplatePlan, type Vmid, VmidTakenError, type VmMaker } from "../vm-maker.ts";

/** How many numbers are tried when others are quicker. */
const VMID_ATTEMPTS = 5;

/** What making a VM needs of whoever runs it. */
export interface Making {
  /**
   * Told how to undo what was just made.
   * @param description what will be gone: "VM 9002 removed"
   */
  undo(description: string, action: () => Promise<void>): void;
  readonly signal: AbortSignal;
}

/** A number is not reserved by asking for it: when somebody else is quicker, the next one is taken. */
export async function createFree(
  vms: VmMaker,
  plan: TemplatePlan,
  { signal, undo }: Making,
): Promise<TemplatePlan> {
  for (let attempt = 1; ; attempt += 1) {
    const vmid: Vmid = await vms.nextId({ signal });
    const mark = `Being uploaded (${randomBytes(8).toString("hex")}): ${formatMark(runMark())}`;
    try {
      // It is short and is not cut off: nobody would know whether there is a VM now.
      await vms.create({ ...plan, vmid }, mark);
    } catch (error) {
      if (error instanceof VmidTakenError) {
        if (attempt === VMID_ATTEMPTS) throw error;
        continue;
      }
      // The connection may have broken when the node was done. Only a VM that bears our mark is ours.
      const isOurs = async (): Promise<boolean> =>
        (await vms.list()).some((vm) => vm.vmid === vmid) && (await vms.config(vmid)).description === mark;
      if (await isOurs().catch(() => true)) {
        undo(`VM ${vmid} removed`, async () => {
          if (await isOurs()) await vms.destroy(vmid);
        });
      }
      throw error;
    }
    undo(`VM ${vmid} removed`, async () => await vms.destroy(vmid));
    signal.throwIfAborted();
    return { ...plan, vmid };
  }
}

/** `qm` can end with 0 though the import failed: the configuration tells. */
export async function demandImported(
  vms: VmMaker,
  vmid: Vmid,
  image: Qcow2,
  signal: AbortSignal,
): Promise<void> {
  const { scsi0 = "" } = await vms.config(vmid, { signal });
  const [, amount = "0", unit = ""] = /size=(\d+)([KMGT]?)/.exec(scsi0) ?? [];
  const size = Number(amount) * 1024 ** ["", "K", "M", "G", "T"].indexOf(unit);
  // Sizes are shown in the largest unit that divides them, so nothing is lost by rounding.
  if (size >= image.virtualSize) return;
  throw new TaskError({
    what: "The disk was not imported completely",
    why:
      scsi0 === ""
        ? "The VM has no disk"
        : `The image has ${image.virtualSize} bytes, the VM's disk ${size} (${scsi0})`,
    todo: ["Check the node's storage and log:", "$ journalctl -u pvedaemon -n 50"],
  });
}
