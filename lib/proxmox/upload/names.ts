import { TaskError } from "../../errors.ts";
import { nextFreeName } from "../../image-name.ts";
import { type ImageMetadata, parseNotes } from "../image-metadata.ts";
import type { MadeVm, TemplatePlan, VmMaker } from "../vm-maker.ts";

/**
 * The template's metadata, when it is there and was made from the very same image.
 * @param sha256 of the image; without it every template of the name is somebody else's
 * @param leftOver VMs of the name that do not count: interrupted uploads have left them, and they will go
 * @throws {TaskError} when the name is taken by something else
 */
export async function sameTemplate(
  vms: VmMaker,
  name: string,
  signal: AbortSignal,
  sha256?: string,
  leftOver: readonly MadeVm[] = [],
): Promise<ImageMetadata | undefined> {
  const there = await vms.list({ signal });
  const taken = there.find((vm) => vm.name === name && leftOver.every(({ vmid }) => vmid !== vm.vmid));
  if (taken === undefined) return undefined;
  const config = await vms.config(taken.vmid, { signal });
  const metadata = parseNotes(config.description ?? "");
  if (config.template === "1" && metadata !== undefined && metadata.qcow2_sha256 === sha256) return metadata;
  const free = nextFreeName(
    name,
    there.map((vm) => vm.name),
  );
  throw new TaskError({
    what: `The name ${name} is taken on the node`,
    why: `VM ${taken.vmid} has it${config.template === "1" ? ", a template made from another image" : ", and is no template"}`,
    todo: [`Use the next free release: ${free}`],
  });
}

/** Two uploads of one name at the same time: the VM with the lower number stays. */
export async function demandFirst(
  vms: VmMaker,
  { name, vmid }: TemplatePlan,
  signal: AbortSignal,
): Promise<void> {
  const other = (await vms.list({ signal })).find((vm) => vm.name === name && vm.vmid < vmid);
  if (other === undefined) return;
  throw new TaskError({
    what: `The name ${name} is taken on the node`,
    why: `VM ${other.vmid} got it while we were at work`,
    todo: ["Wait for the other upload, then run it again"],
  });
}
