import { isImageName, parseImageName } from "../image-name.ts";
import type { ProxmoxApi } from "./api/client.ts";
import { type ImageMetadata, parseNotes } from "./image-metadata.ts";
import { createdAt, inventory, type VmDetails } from "./inventory.ts";

/** A golden image on the node, and what became of it. */
export interface CatalogueEntry {
  readonly name: string;
  readonly vmid: number;
  readonly node: string;
  /** From its notes; undefined when somebody has changed them. */
  readonly metadata: ImageMetadata | undefined;
  /** VMs that were made from it, as far as they tell. */
  readonly usedBy: readonly { readonly vmid: number; readonly name: string }[];
  /** A newer image of the same AlmaLinux and architecture, when there is one. */
  readonly supersededBy: string | undefined;
}

/** What the module proxmox-vm writes into a VM's notes. */
const MADE_FROM = /Made from the template (\S+) \((\d+)\)/;

/** Every golden image of the cluster, the newest first. */
export async function imageCatalogue(api: ProxmoxApi, signal?: AbortSignal): Promise<CatalogueEntry[]> {
  return catalogueOf(await inventory(api, signal));
}

/** The catalogue that an inventory comes to. */
export function catalogueOf(all: readonly VmDetails[]): CatalogueEntry[] {
  const templates = all.filter(({ template, name }) => template && isImageName(name));
  const vms = all.filter(({ template }) => !template);
  const sorted = templates.toSorted((a, b) => compareImages(b.name, a.name));
  return sorted.map((template) => ({
    name: template.name,
    vmid: template.vmid,
    node: template.node,
    metadata: parseNotes(template.config.description ?? ""),
    usedBy: vms.filter((vm) => isMadeFrom(vm, template)).map(({ vmid, name }) => ({ vmid, name })),
    supersededBy: sorted.find((other) => supersedes(other.name, template.name))?.name,
  }));
}

/**
 * Whether a VM came from a template. A linked clone has its disk on the template's; a full clone inherits the time at
 * which the template's VM was created, to the second, and one of ours tells in its notes. The template's number alone
 * is not enough, since it is given again once a template is gone.
 */
function isMadeFrom(vm: VmDetails, template: VmDetails): boolean {
  if (Object.values(vm.config).some((value) => value.includes(`base-${template.vmid}-disk-`))) return true;
  const created = createdAt(template);
  if (created !== undefined && created.getTime() === createdAt(vm)?.getTime()) return true;
  const [, name, vmid] = MADE_FROM.exec(vm.config.description ?? "") ?? [];
  return name === template.name && Number(vmid) === template.vmid;
}

function supersedes(newer: string, older: string): boolean {
  const [one, other] = [parseImageName(newer), parseImageName(older)];
  return one.alma === other.alma && one.arch === other.arch && compareImages(newer, older) > 0;
}

/** By Kubernetes version, then by release. */
export function compareImages(a: string, b: string): number {
  const numbers = (name: string): number[] => {
    const { alma, kubernetes, release } = parseImageName(name);
    return [alma, ...(kubernetes.match(/\d+/g) ?? []).map(Number), release];
  };
  const [left, right] = [numbers(a), numbers(b)];
  const at = left.findIndex((number, index) => number !== right[index]);
  return at < 0 ? 0 : (left[at] ?? 0) - (right[at] ?? 0);
}
