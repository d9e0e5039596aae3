import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../errors.ts";
import { CommandError, type RunOptions } from "../process.ts";
import type { NodeShell } from "./ssh.ts";
import {
  cloudInitOptions,
  createOptions,
  type DestroyOptions,
  importOptions,
  type MadeVm,
  parseVmid,
  type TemplatePlan,
  type Vmid,
  VmidTakenError,
  type VmMaker,
} from "./vm-maker.ts";

/** The node's `qm`, a function a command. All run as root on the node, by SSH. @see https://pve.proxmox.com/pve-docs/qm.1.html */
export class Qm implements VmMaker {
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
  async list(options: RunOptions = {}): Promise<MadeVm[]> {
    const { stdout } = await this.#shell.run(["qm", "list"], options);
    return stdout.split("\n").flatMap((line) => {
      const [, vmid, name = ""] = /^\s*(\d+)\s+(\S+)/.exec(line) ?? [];
      return vmid === undefined ? [] : [{ vmid: parseVmid(vmid), name }];
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

  async describe(vmid: Vmid, notes: string, options: RunOptions = {}): Promise<void> {
    await this.#shell.run(["qm", "set", String(vmid), "--description", notes], options);
  }

  /**
   * Remove a VM and the disks that it names. An import whose SSH connection is gone goes on and holds the VM's lock: wait for it.
   * @throws {Error} with the command that does it by hand
   */
  async destroy(vmid: Vmid, { patienceMs = 300_000, ...options }: DestroyOptions = {}): Promise<void> {
    const words = ["qm", "destroy", String(vmid), "--purge", "1"];
    for (const deadline = Date.now() + patienceMs; ; ) {
      try {
        await this.#shell.run(words, options);
        return;
      } catch (error) {
        const locked = error instanceof CommandError && /can't lock file|VM is locked/.test(error.stderr);
        if (!locked || Date.now() >= deadline) throw byHand(this.#shell, words, error);
        await sleep(Math.min(1000, patienceMs), undefined, options.signal ? { signal: options.signal } : {});
      }
    }
  }

  async disks(vmid: Vmid, storage: string, options: RunOptions = {}): Promise<string[]> {
    const words = ["pvesm", "list", storage, "--content", "images", "--vmid", String(vmid)];
    const { stdout } = await this.#shell.run(words, options);
    return stdout.split("\n").flatMap((line) => {
      const [volume = ""] = line.split(/\s/);
      return volume.startsWith(`${storage}:`) ? [volume] : [];
    });
  }

  async free(disk: string, options: RunOptions = {}): Promise<void> {
    // "localhost" is the node that is asked; what is behind "content/" is the volume as it is.
    const [storage = ""] = disk.split(":");
    const path = `/nodes/localhost/storage/${storage}/content/${disk}`;
    await this.#shell.run(["pvesh", "delete", path], options);
  }
}

/** What went wrong, and how a person does the same once it is mended. */
function byHand(shell: NodeShell, words: readonly string[], error: unknown): Error {
  return new Error(`${messageOf(error)}\nWhen that is mended, by hand:\n$ ${shell.shown(words)}`, {
    cause: error,
  });
}

/** `qm` shows notes in one line, percent-encoded. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The command that creates the VM, without a disk. */
export function createWords(plan: TemplatePlan): string[] {
  return ["qm", "create", String(plan.vmid), ...asWords(createOptions(plan))];
}

/** The command that imports the image as the disk. */
export function importWords(plan: TemplatePlan): string[] {
  return ["qm", "set", String(plan.vmid), ...asWords(importOptions(plan))];
}

/** The command that adds the cloud-init drive and the notes. */
export function cloudInitWords(plan: TemplatePlan): string[] {
  return ["qm", "set", String(plan.vmid), ...asWords(cloudInitOptions(plan))];
}

function asWords(options: Readonly<Record<string, string>>): string[] {
  return Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
}
