/** What the tasks need to be allowed on a node: measured on Proxmox VE 9.2 by taking each privilege away. */

/** A major release of Proxmox VE that the tasks support; their privileges differ. */
export type PveRelease = 8 | 9;

/** Where something is allowed. The path follows from the settings. */
export type Place = "vms" | "storage" | "images" | "network";

/** The places that settings come to. */
export interface PlaceSettings {
  readonly PM_STORAGE: string;
  readonly PM_ISO_STORAGE: string;
  readonly PM_BRIDGE: string;
}

/** A command that asks the API for something, as people type it. */
export type PveTask =
  | "tf-plan"
  | "tf-apply"
  | "tf-destroy"
  | "build-image"
  | "upload-image --via api"
  | "images"
  | "images --prune"
  | "leftovers"
  | "status";

/** One privilege that is needed in one place. */
export interface Need {
  readonly place: Place;
  /** By the name that each release has for it. */
  readonly privilege: Readonly<Record<PveRelease, string>>;
  /** What it is for, as the end of "… is for". */
  readonly purpose: string;
  readonly tasks: readonly PveTask[];
}

const MAKES = ["tf-apply", "build-image", "upload-image --via api"] as const;
const REMOVES = ["tf-destroy", "images --prune", "leftovers"] as const;
const ALL: readonly PveTask[] = ["tf-plan", ...MAKES, ...REMOVES, "images", "status"];

function need(
  place: Place,
  privilege: string | Readonly<Record<PveRelease, string>>,
  purpose: string,
  tasks: readonly PveTask[],
): Need {
  const names = typeof privilege === "string" ? { 8: privilege, 9: privilege } : privilege;
  return { place, privilege: names, purpose, tasks };
}

/** Every privilege that some task needs. Nothing on / or /nodes is among them. */
export const NEEDS: readonly Need[] = [
  need("vms", "VM.Allocate", "making and removing VMs", [...MAKES, ...REMOVES]),
  need("vms", "VM.Audit", "seeing templates and VMs; without it every list is empty", ALL),
  need("vms", "VM.Clone", "making a VM of the template", ["tf-apply"]),
  need("vms", "VM.Config.CDROM", "a VM's CD drives, cloud-init's among them", MAKES),
  need("vms", "VM.Config.CPU", "a VM's processors", MAKES),
  need("vms", "VM.Config.Cloudinit", "user, key and address of a VM", MAKES),
  need("vms", "VM.Config.Disk", "a VM's disks and what it boots from", [...MAKES, "leftovers"]),
  need("vms", "VM.Config.HWType", "a VM's kind of hardware", MAKES),
  need("vms", "VM.Config.Memory", "a VM's memory", MAKES),
  need("vms", "VM.Config.Network", "a VM's network cards and addresses", MAKES),
  need("vms", "VM.Config.Options", "a VM's name, notes and tags", MAKES),
  need("vms", "VM.Console", "typing the boot command of an image build", ["build-image"]),
  need(
    "vms",
    // 8 has one privilege for all that QEMU can be asked; 9 has it no more.
    { 8: "VM.Monitor", 9: "VM.GuestAgent.Audit" },
    "the address of a VM that runs, from its guest agent",
    ["tf-plan", "tf-apply", "build-image"],
  ),
  need("vms", "VM.PowerMgmt", "starting and stopping VMs", ["tf-apply", "build-image", ...REMOVES]),
  need("storage", "Datastore.AllocateSpace", "disks of VMs and templates", MAKES),
  need("storage", "Datastore.Audit", "looking at a VM's disks", ["tf-apply"]),
  need("images", "Datastore.Allocate", "removing what was sent for an image", [
    "build-image",
    "upload-image --via api",
    "leftovers",
  ]),
  need("images", "Datastore.AllocateTemplate", "sending ISOs, and images to import", [
    "build-image",
    "upload-image --via api",
  ]),
  need("images", "Datastore.Audit", "listing what was sent", [
    "build-image",
    "upload-image --via api",
    "leftovers",
  ]),
  need("network", "SDN.Use", "attaching VMs to the bridge", MAKES),
];

/** The path of a place, as access control lists have it. */
export function pathOf(place: Place, settings: PlaceSettings): string {
  switch (place) {
    case "vms":
      return "/vms";
    case "storage":
      return `/storage/${settings.PM_STORAGE}`;
    case "images":
      return `/storage/${settings.PM_ISO_STORAGE}`;
    case "network":
      // Bridges that no zone of the cluster manages belong to this one.
      return `/sdn/zones/localnetwork/${settings.PM_BRIDGE}`;
  }
}
