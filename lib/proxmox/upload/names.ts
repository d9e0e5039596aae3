import { TaskError } from "../../errors.ts";
import { nextFreeName } from "../../image-name.ts";
import { formatMark } from "../../run-mark.ts";
import { type ImageMetadata, parseNotes } from "../image-metadata.ts";
import type { MadeVm, VmMaker } from "../vm-maker.ts";
import { parseUploadMark } from "./mark.ts";
import { type Config, type Namesake, namesakesOf } from "./namesakes.ts";

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
  const namesakes = await namesakesOf(vms, name, { signal });
  const taken = namesakes.find((vm) => leftOver.every(({ vmid }) => vmid !== vm.vmid));
  if (taken === undefined) return undefined;
  const { config } = taken;
  const metadata = parseNotes(config.description ?? "");
  if (config.template === "1" && metadata !== undefined && metadata.qcow2_sha256 === sha256) return metadata;
  const what = `The name ${name} is taken on the node`;
  const mark = config.template === "1" ? undefined : parseUploadMark(config.description ?? "");
  if (mark !== undefined) {
    throw new TaskError({
      what,
      why: `VM ${taken.vmid} has it, which is being uploaded${mark.locked ? "" : " by the API"}: ${formatMark(mark.run)}`,
      todo: [
        "Wait until that is done, then run this again: it finds the template",
        "Or, if that run is gone, remove what it has left:",
        "$ npm run leftovers",
      ],
    });
  }
  const free = nextFreeName(
    name,
    (await vms.list({ signal })).map((vm) => vm.name),
  );
  throw new TaskError({
    what,
    why: `VM ${taken.vmid} has it${config.template === "1" ? ", a template made from another image" : ", and is no template"}`,
    todo: [`Use the next free release: ${free}`],
  });
}

/**
 * Two uploads of one name at the same time: the one that is further on stays; of two equally far, the VM with the lower
 * number. Both ask before each of their steps, so each learns of the other whoever of them came first.
 * @param ours our own VM
 * @param namesakes all that have its name, it too
 * @throws {TaskError} when another one stays
 */
export function demandFirst(ours: Namesake, namesakes: readonly Namesake[]): void {
  const { name, vmid, config } = ours;
  for (const other of namesakes) {
    const ahead = progressOf(other.config) - progressOf(config);
    if (ahead < 0 || (ahead === 0 && other.vmid >= vmid)) continue;
    throw new TaskError({
      what: `The name ${name} is taken on the node`,
      why: `VM ${other.vmid} got it while we were at work`,
      todo: ["Wait for the other upload, then run it again"],
    });
  }
}

/** 0: no template yet; 1: one; 2: one whose upload is done. */
function progressOf({ template, description = "" }: Config): number {
  if (template !== "1") return 0;
  return parseUploadMark(description) === undefined ? 2 : 1;
}
