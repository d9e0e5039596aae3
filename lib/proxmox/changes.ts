import { contentAnswer } from "./api/answers.ts";
import type { ProxmoxApi } from "./api/client.ts";
import { contentPath, vmPath } from "./api/paths.ts";
import { type VmSummary, vmStatus } from "./inventory.ts";

type VmPlace = Pick<VmSummary, "node" | "vmid">;

/** Set a template's notes (Markdown), and take away the tag of the run that has built it. */
export async function finishTemplate(
  api: ProxmoxApi,
  vm: VmPlace & Pick<VmSummary, "tags">,
  notes: string,
  signal?: AbortSignal,
): Promise<void> {
  const tags = vm.tags.filter((tag) => runOfTag(tag) === undefined).join(";");
  await api.change("PUT", `${vmPath(vm)}/config`, { description: notes, tags }, signal);
}

/** The run that a tag names, as a build's VM has one: its eight digits. */
export function runOfTag(tag: string): string | undefined {
  return /^run-([0-9a-f]{8})$/.exec(tag)?.[1];
}

/**
 * Remove a VM or a template with the disks that it names; one that runs is switched off. Other disks of its number stay:
 * a VM that had it before may have left them on purpose.
 */
export async function removeVm(api: ProxmoxApi, vm: VmPlace, signal?: AbortSignal): Promise<void> {
  const options = signal === undefined ? {} : { signal };
  if ((await vmStatus(api, vm, signal)) === "running") {
    await api.runTask("POST", `${vmPath(vm)}/status/stop`, {}, options);
  }
  await api.runTask("DELETE", vmPath(vm), { purge: true }, options);
}

/**
 * The volume of an ISO that is on a storage already.
 * @returns for example "local:iso/AlmaLinux-9.6-x86_64-minimal.iso"; undefined when it is not there
 */
export async function isoVolume(
  api: ProxmoxApi,
  node: string,
  storage: string,
  fileName: string,
  signal?: AbortSignal,
): Promise<string | undefined> {
  const volumes = await api.get(contentPath(node, storage), contentAnswer, { content: "iso" }, signal);
  return volumes.find(({ volid }) => volid.endsWith(`iso/${fileName}`))?.volid;
}
