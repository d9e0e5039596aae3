import { setTimeout as sleep } from "node:timers/promises";
import { CommandError, type RunOptions } from "../process.ts";
import type { NodeShell } from "./ssh.ts";

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
  /** The image on the node. */
  readonly imagePath: string;
  readonly notes: string;
}

/** The node's `qm`, a function a command. All run as root on the node, by SSH. @see https://pve.proxmox.com/pve-docs/qm.1.html */
export class Qm {
  readonly #shell: NodeShell;

  constructor(shell: NodeShell) {
    this.#shell = shell;
  }

  /** The next free VM number; it is not reserved. */
  async nextId(options: RunOptions = {}): Promise<Vmid> {
    const { stdout } = await this.#shell.run(["pvesh", "get", "/cluster/nextid"], options);
    return parseVmid(stdout.trim().replaceAll('"', ""));
  }

  /** Every VM and template on the node. */
  async list(options: RunOptions = {}): Promise<{ vmid: Vmid; name: string; status: string }[]> {
    const { stdout } = await this.#shell.run(["qm", "list"], options);
    return stdout.split("\n").flatMap((line) => {
      const [, vmid, name = "", status = ""] = /^\s*(\d+)\s+(\S+)\s+(\S+)/.exec(line) ?? [];
      return vmid === undefined ? [] : [{ vmid: parseVmid(vmid), name, status }];
    });
  }

  /** A VM's options. */
  async config(vmid: Vmid, options: RunOptions = {}): Promise<Record<string, string>> {
    const { stdout } = await this.#shell.run(["qm", "config", String(vmid)], options);
    const rows = stdout.split("\n").flatMap((line): [string, string][] => {
      const [, key, value = ""] = /^([a-z0-9_]+): (.*)$/.exec(line) ?? [];
      return key === undefined ? [] : [[key, key === "description" ? decoded(value) : value]];
    });
    return Object.fromEntries(rows);
  }

  /**
   * Create the VM, without a disk.
   * @param mark its notes for now, by which its maker knows it again
   * @throws {VmidTakenError} when somebody else was quicker
   */
  async create(plan: TemplatePlan, mark: string, options: RunOptions = {}): Promise<void> {
    try {
      await this.#shell.run([...createWords(plan), "--description", mark], options);
    } catch (error) {
      if (error instanceof CommandError && /already exists/.test(error.stderr))
        throw new VmidTakenError(plan.vmid);
      throw error;
    }
  }

  /** Import the image as the VM's disk. It may end with 0 all the same: check the configuration afterwards. */
  async importImage(plan: TemplatePlan, options: RunOptions = {}): Promise<void> {
    await this.#shell.run(importWords(plan), options);
  }

  async addCloudInit(plan: TemplatePlan, options: RunOptions = {}): Promise<void> {
    await this.#shell.run(cloudInitWords(plan), options);
  }

  async template(vmid: Vmid, options: RunOptions = {}): Promise<void> {
    await this.#shell.run(["qm", "template", String(vmid)], options);
  }

  /** Remove a VM and its disks. An import whose SSH connection is gone goes on and holds the VM's lock: wait for it. */
  async destroy(vmid: Vmid, { patienceMs = 300_000, ...options }: DestroyOptions = {}): Promise<void> {
    const words = ["qm", "destroy", String(vmid), "--purge", "1", "--destroy-unreferenced-disks", "1"];
    for (const deadline = Date.now() + patienceMs; ; ) {
      try {
        await this.#shell.run(words, options);
        return;
      } catch (error) {
        const locked = error instanceof CommandError && /can't lock file|VM is locked/.test(error.stderr);
        if (!locked || Date.now() >= deadline) throw error;
        await sleep(Math.min(1000, patienceMs), undefined, options.signal ? { signal: options.signal } : {});
      }
    }
  }
}

export interface DestroyOptions extends RunOptions {
  /** Milliseconds to wait for a lock that somebody else holds. */
  readonly patienceMs?: number;
}

/** `qm` shows notes in one line, percent-encoded. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Another VM got the number first. */
export class VmidTakenError extends Error {
  override readonly name = "VmidTakenError";

  constructor(vmid: Vmid) {
    super(`VM ${vmid} exists already`);
  }
}

/** UEFI on q35, no keys enrolled (the image's loader is not signed by Microsoft's), one NIC, a serial console. */
export function createWords({ vmid, name, storage, bridge }: TemplatePlan): string[] {
  return [
    ...["qm", "create", String(vmid), "--name", name],
    ...["--ostype", "l26", "--machine", "q35", "--bios", "ovmf"],
    ...["--efidisk0", `${storage}:0,efitype=4m,pre-enrolled-keys=0`],
    ...["--cpu", "x86-64-v2-AES", "--cores", "2", "--memory", "2048"],
    ...["--scsihw", "virtio-scsi-single", "--net0", `virtio,bridge=${bridge}`],
    ...["--agent", "enabled=1", "--serial0", "socket", "--vga", "serial0"],
    ...["--tags", "homelab;k3s;template"],
  ];
}

/** Import the image as the disk, behind the controller that `createWords` chose; trimmed blocks are given back. */
export function importWords({ vmid, storage, imagePath }: TemplatePlan): string[] {
  const disk = `${storage}:0,import-from=${imagePath},ssd=1,discard=on,iothread=1`;
  return ["qm", "set", String(vmid), "--scsi0", disk];
}

/** A cloud-init drive, the disk to boot from, DHCP until a clone is told otherwise, and the notes. */
export function cloudInitWords({ vmid, storage, notes }: TemplatePlan): string[] {
  return [
    ...["qm", "set", String(vmid), "--ide2", `${storage}:cloudinit`],
    ...["--boot", "order=scsi0", "--ipconfig0", "ip=dhcp", "--description", notes],
  ];
}
