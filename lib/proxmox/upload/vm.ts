import { messageOf, TaskError } from "../../errors.ts";
import { parseNotes, renderNotes } from "../image-metadata.ts";
import type { Qcow2 } from "../qcow2.ts";
import { type MadeVm, type TemplatePlan, type Vmid, VmidTakenError, type VmMaker } from "../vm-maker.ts";
import { bears, parseUploadMark, uploadMark } from "./mark.ts";
import { demandFirst } from "./names.ts";
import { type Config, configOf, type Namesake, namesakesOf } from "./namesakes.ts";

/** How many numbers are tried when others are quicker. */
const VMID_ATTEMPTS = 5;

/** What making a VM needs of whoever runs it. */
export interface Making {
  /** Whether this run holds the lock of the name. */
  readonly locked: boolean;
  /**
   * Told how to undo what was just made.
   * @param description what will be gone: "VM 9002 removed"
   */
  undo(description: string, action: () => Promise<void>): void;
  readonly signal: AbortSignal;
}

/** A VM that this run has made. Once it is gone another one may have its number: only the mark tells that it is ours. */
export interface OwnVm extends MadeVm {
  readonly mark: string;
  readonly storage: string;
  /** Disks of its number on the storage that were there before it: kept ones of a VM that had the number. */
  readonly othersDisks: readonly string[];
}

/**
 * Create the VM. A number is not reserved by asking for it: when somebody else is quicker, the next one is taken.
 * @throws {VmidTakenError} when somebody else was quicker each time
 */
export async function createFree(
  vms: VmMaker,
  plan: TemplatePlan,
  { locked, signal, undo }: Making,
): Promise<OwnVm> {
  for (let attempt = 1; ; attempt += 1) {
    const vmid: Vmid = await vms.nextId({ signal });
    const { name, storage } = plan;
    const othersDisks = await vms.disks(vmid, storage, { signal });
    const own: OwnVm = { vmid, name, mark: uploadMark(locked), storage, othersDisks };
    const undoCreate = (): void => undo(`VM ${vmid} removed`, async () => await removeOwn(vms, own));
    try {
      // It is short and is not cut off: nobody would know whether there is a VM now.
      await vms.create({ ...plan, vmid }, own.mark);
    } catch (error) {
      if (error instanceof VmidTakenError) {
        if (attempt === VMID_ATTEMPTS) throw error;
        continue;
      }
      // The connection may have broken when the node was done. Only a VM that bears our mark is ours.
      const perhaps = await whose(vms, own).catch(() => "ours");
      if (perhaps === "ours") undoCreate();
      throw error;
    }
    undoCreate();
    signal.throwIfAborted();
    return own;
  }
}

/**
 * Make sure that a VM is still the one that this run has made, and that no other upload of the name comes before it.
 * @throws {TaskError} otherwise
 */
export async function demandOwn(vms: VmMaker, own: OwnVm, signal: AbortSignal): Promise<void> {
  demandOwnAmong(own, await namesakesOf(vms, own.name, { signal }));
}

function demandOwnAmong(own: OwnVm, namesakes: readonly Namesake[]): void {
  const ours = namesakes.find(({ vmid }) => vmid === own.vmid);
  if (ours === undefined || ownerBy(ours.config, own) !== "ours") {
    throw new TaskError({
      what: `VM ${own.vmid} is not this run's any more`,
      why: "It is gone, or its notes do not bear this run's mark: somebody has removed or changed it, and another VM may have its number by now",
      todo: [
        "Find out who else is at work on the node, then run this again",
        // Root sees every VM.
        ...(ours === undefined && !parseUploadMark(own.mark)?.locked
          ? ["If it is there, the token may not see it: it needs VM.Audit on /vms"]
          : []),
      ],
    });
  }
  demandFirst(ours, namesakes);
}

/**
 * Take the mark off a template: its notes are for people now, and nothing removes it any more.
 * @param own the VM that this run has made; undefined where it has found the template
 * @throws {TaskError} when that is not ours any more, or another upload of the name comes before it
 */
export async function finishNotes(
  vms: VmMaker,
  name: string,
  own: OwnVm | undefined,
  signal: AbortSignal,
): Promise<void> {
  const namesakes = await namesakesOf(vms, name, { signal });
  // Another run may have found ours and finished it.
  const done = ({ vmid, config }: Namesake): boolean => vmid === own?.vmid && ownerBy(config, own) === "done";
  if (own !== undefined && !namesakes.some(done)) demandOwnAmong(own, namesakes);
  for (const { vmid, config } of namesakes) {
    const { description = "", template } = config;
    const metadata = parseNotes(description);
    if (template !== "1" || metadata === undefined || parseUploadMark(description) === undefined) continue;
    await vms.describe(vmid, renderNotes(metadata), { signal });
  }
}

/** @throws {Error} when the VM stays, saying why */
async function removeOwn(vms: VmMaker, own: OwnVm): Promise<void> {
  const owner = await whose(vms, own).catch((error: unknown) => {
    throw new Error(`${messageOf(error)}\nWhen that is mended:\n$ npm run leftovers`, { cause: error });
  });
  if (owner === "ours") {
    await vms.destroy(own.vmid);
    await freeStranded(vms, own);
  } else if (owner === "done") throw new Error("the template is done: running this again finds it");
  else if (owner === "another's")
    throw new Error("its notes do not bear this run's mark any more: it is left as it is");
}

/**
 * Remove disks that were made while the VM was there and that it did not name, as an import leaves one that is killed:
 * the node itself cleans up after one that fails.
 * @throws {Error} naming what stays
 */
async function freeStranded(vms: VmMaker, { vmid, storage, othersDisks }: OwnVm): Promise<void> {
  const stranded = (await vms.disks(vmid, storage)).filter((disk) => !othersDisks.includes(disk));
  // Whoever has the number by now may have made them.
  if (stranded.length === 0 || (await configOf(vms, vmid, {})) !== undefined) return;
  for (const disk of stranded) {
    await vms.free(disk).catch((error: unknown) => {
      const what = `VM ${vmid} is gone, but not its disk ${disk}: ${messageOf(error)}`;
      throw new Error(`${what}\nWhen that is mended, on the node:\n$ pvesm free ${disk}`, { cause: error });
    });
  }
}

/**
 * Remove a VM that an interrupted upload has left.
 * @returns disks of its number that stay: nothing tells whether the upload made them
 */
export async function removeInterrupted(
  vms: VmMaker,
  vmid: Vmid,
  storage: string,
  signal: AbortSignal,
): Promise<string[]> {
  const before = await vms.disks(vmid, storage, { signal });
  await vms.destroy(vmid, { signal });
  const after = await vms.disks(vmid, storage, { signal });
  return after.filter((disk) => before.includes(disk));
}

type Owner = "ours" | "done" | "another's" | "gone";

async function whose(vms: VmMaker, own: OwnVm): Promise<Owner> {
  const config = await configOf(vms, own.vmid, {});
  return config === undefined ? "gone" : ownerBy(config, own);
}

function ownerBy({ description = "", template }: Config, { name, mark }: OwnVm): Owner {
  if (bears(description, mark)) return "ours";
  return template === "1" && parseNotes(description)?.version === name ? "done" : "another's";
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
