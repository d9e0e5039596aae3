import type { RunOptions } from "../process.ts";

/** A VM's number, as Proxmox allows it: 100 to 999999999. */
export type Vmid = number & { readonly brand: "Vmid" };

/** @throws {Error} for what Proxmox does not take as a VM's number */
export function parseVmid(text: string | number): Vmid {
  const number = /^[1-9]\d{2,8}$/.test(String(text)) ? Number(text) : 0;
  if (number < 100) throw new Error(`"${text}" is not a VM's number (100 to 999999999)`);
  return number as Vmid;
}

/** What a template is made from. */
export interface TemplatePlan {
  readonly vmid: Vmid;
  readonly name: string;
  readonly storage: string;
  readonly bridge: string;
  /** The image on the node: a path for qm, a volume for the API. */
  readonly imagePath: string;
  readonly notes: string;
}

/** A VM or template that is there. */
export interface MadeVm {
  readonly vmid: Vmid;
  readonly name: string;
}

export interface DestroyOptions extends RunOptions {
  /** Milliseconds to wait for a lock that somebody else holds. */
  readonly patienceMs?: number;
}

/** Whoever makes the template's VM on the node: `qm` over SSH, or the API. Both know the same deeds. */
export interface VmMaker {
  /** The next free VM number; it is not reserved. */
  nextId(options?: RunOptions): Promise<Vmid>;
  /** Every VM and template that it may see. */
  list(options?: RunOptions): Promise<MadeVm[]>;
  /** A VM's options. */
  config(vmid: Vmid, options?: RunOptions): Promise<Readonly<Record<string, string>>>;
  /**
   * Create the VM, without a disk.
   * @param mark its notes for now, by which its maker knows it again
   * @throws {VmidTakenError} when somebody else was quicker
   */
  create(plan: TemplatePlan, mark: string, options?: RunOptions): Promise<void>;
  /** Import the image as the VM's disk. It may end well all the same: check the configuration afterwards. */
  importImage(plan: TemplatePlan, options?: RunOptions): Promise<void>;
  addCloudInit(plan: TemplatePlan, options?: RunOptions): Promise<void>;
  template(vmid: Vmid, options?: RunOptions): Promise<void>;
  /** Replace the notes of a VM or a template. */
  describe(vmid: Vmid, notes: string, options?: RunOptions): Promise<void>;
  /**
   * Remove a VM and the disks that it names; others of its number may be kept ones of a VM that had it before. An import
   * that goes on holds the VM's lock: wait for it.
   */
  destroy(vmid: Vmid, options?: DestroyOptions): Promise<void>;
  /** The disks on a storage that bear a VM's number, whoever made them: "vmdata:100/vm-100-disk-0.raw". */
  disks(vmid: Vmid, storage: string, options?: RunOptions): Promise<string[]>;
  /** Remove a disk. */
  free(disk: string, options?: RunOptions): Promise<void>;
}

/** Another VM got the number first. */
export class VmidTakenError extends Error {
  override readonly name = "VmidTakenError";

  constructor(vmid: Vmid) {
    super(`VM ${vmid} exists already`);
  }
}

/** UEFI on q35, no keys enrolled (the image's loader is not signed by Microsoft's), one NIC, a serial console. */
export function createOptions({ name, storage, bridge }: TemplatePlan): Record<string, string> {
  return {
    name,
    ostype: "l26",
    machine: "q35",
    bios: "ovmf",
    efidisk0: `${storage}:0,efitype=4m,pre-enrolled-keys=0`,
    cpu: "x86-64-v2-AES",
    cores: "2",
    memory: "2048",
    scsihw: "virtio-scsi-single",
    net0: `virtio,bridge=${bridge}`,
    agent: "enabled=1",
    serial0: "socket",
    vga: "serial0",
    tags: "homelab;k3s;template",
  };
}

/** The image as the disk, behind the controller that `createOptions` chose; trimmed blocks are given back. */
export function importOptions({ storage, imagePath }: TemplatePlan): Record<string, string> {
  return { scsi0: `${storage}:0,import-from=${imagePath},ssd=1,discard=on,iothread=1` };
}

/** A cloud-init drive, the disk to boot from, DHCP until a clone is told otherwise, and the notes. */
export function cloudInitOptions({ storage, notes }: TemplatePlan): Record<string, string> {
  return { ide2: `${storage}:cloudinit`, boot: "order=scsi0", ipconfig0: "ip=dhcp", description: notes };
}
