import { contentAnswer } from "./api/answers.ts";
import type { ProxmoxApi } from "./api/client.ts";
import { type VmSummary, vmStatus } from "./inventory.ts";

type VmPlace = Pick<VmSummary, "node" | "vmid">;

function pathOf({ node, vmid }: VmPlace): string {
  return `/nodes/${encodeURIComponent(node)}/qemu/${vmid}`;
}

/** Set a template's notes (Markdown), and take away the tag of the run that has built it. */
export async function finishTemplate(
  api: ProxmoxApi,
  vm: VmPlace & Pick<VmSummary, "tags">,
  notes: string,
  signal?: AbortSignal,
): Promise<void> {
  const tags = vm.tags.filter((tag) => runOfTag(tag) === undefined).join(";");
  await api.change("PUT", `${pathOf(vm)}/config`, { description: notes, tags }, signal);
}

/** The run that a tag names, as a build's VM has one: its eight digits. */
export function runOfTag(tag: string): string | undefined {
  return /^run-([0-9a-f]{8})$/.exec(tag)?.[1];
}

/** Remove a VM or a template with its disks; one that runs is switched off. */
export async function removeVm(api: ProxmoxApi, vm: VmPlace, signal?: AbortSignal): Promise<void> {
  const options = signal === undefined ? {} : { signal };
  if ((await vmStatus(api, vm, signal)) === "running") {
    await api.runTask("POST", `${pathOf(vm)}/status/stop`, {}, options);
  }
  await api.runTask("DELETE", pathOf(vm), { purge: true, "destroy-unreferenced-disks": true }, options);
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
  const path = `/nodes/${encodeURIComponent(node)}/storage/${encodeURIComponent(storage)}/content`;
  const volumes = await api.get(path, contentAnswer, { content: "iso" }, signal);
  return volumes.find(({ volid }) => volid.endsWith(`iso/${fileName}`))?.volid;
}
