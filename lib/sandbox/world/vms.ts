import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { readIfThere, removeIfThere, writeFileAtomic, writeJsonAtomic } from "./atomic-file.ts";
import { digestOf, formatConf, parseConf } from "./conf-file.ts";
import { Mutexes } from "./mutex.ts";
import type { GuestVm, RunningVm, Vm, VmConfig } from "./types.ts";

/** What `update` may replace; what is left out stays. */
export interface VmChange {
  readonly config?: VmConfig;
  readonly pending?: Vm["pending"];
  readonly running?: RunningVm | undefined;
  readonly typed?: readonly string[];
}

/** What the node keeps about a VM besides its configuration file. */
interface Sidecar {
  readonly templateName?: string;
  readonly running?: RunningVm;
  readonly typed?: readonly string[];
}

/** The VMs and templates of the node, one configuration file each. */
export class VmStore {
  readonly #confDirectory: string;
  readonly #stateDirectory: string;
  readonly #vms = new Map<number, Vm>();
  readonly #locks = new Mutexes();

  /**
   * @param confDirectory where a real node has them: /etc/pve/nodes/NODE/qemu-server, as a path of the host
   * @param stateDirectory for what a real node knows from its processes
   */
  constructor(confDirectory: string, stateDirectory: string) {
    this.#confDirectory = confDirectory;
    this.#stateDirectory = stateDirectory;
    mkdirSync(confDirectory, { recursive: true });
    mkdirSync(stateDirectory, { recursive: true });
    for (const name of readdirSync(confDirectory)) {
      const vmid = Number(/^([1-9]\d+)\.conf$/.exec(name)?.[1]);
      const text = Number.isNaN(vmid) ? undefined : readIfThere(join(confDirectory, name));
      if (text === undefined) continue;
      const sidecar = JSON.parse(readIfThere(this.#sidecarFile(vmid)) ?? "{}") as Sidecar;
      this.#vms.set(vmid, {
        vmid,
        ...parseConf(text),
        templateName: sidecar.templateName,
        running: sidecar.running,
        typed: sidecar.typed ?? [],
      });
    }
  }

  get(vmid: number): Vm | undefined {
    return this.#vms.get(vmid);
  }

  /** All VMs and templates, by VMID. */
  list(): Vm[] {
    return [...this.#vms.values()].sort((a, b) => a.vmid - b.vmid);
  }

  /**
   * Add a VM.
   * @param templateName see `Vm.templateName`
   */
  create(vmid: number, config: VmConfig, templateName?: string): Vm {
    if (this.#vms.has(vmid)) throw new Error(`VM ${vmid} already exists`);
    return this.#put({ vmid, config, pending: {}, templateName, running: undefined, typed: [] });
  }

  /** Replace parts of a VM's state. */
  update(vmid: number, change: VmChange): Vm {
    const vm = this.#vms.get(vmid);
    if (vm === undefined) throw new Error(`VM ${vmid} does not exist`);
    return this.#put({ ...vm, ...change });
  }

  remove(vmid: number): void {
    this.#vms.delete(vmid);
    removeIfThere(this.#confFile(vmid));
    removeIfThere(this.#sidecarFile(vmid));
  }

  /** See `digestOf`. */
  digest(vm: Vm): string {
    return digestOf(vm);
  }

  /**
   * Do something while holding the VM's file lock.
   * @throws {LockTimeoutError} "can't lock file … got timeout" when another operation holds it for too long
   */
  async exclusively<T>(vmid: number, action: () => Promise<T> | T, timeoutMs = 10_000): Promise<T> {
    const lockFile = `/var/lock/qemu-server/lock-${vmid}.conf`;
    return await this.#locks.run(
      String(vmid),
      action,
      timeoutMs,
      `can't lock file '${lockFile}' - got timeout`,
    );
  }

  #put(vm: Vm): Vm {
    const sidecar: Sidecar = {
      ...(vm.templateName === undefined ? {} : { templateName: vm.templateName }),
      ...(vm.running === undefined ? {} : { running: vm.running }),
      ...(vm.typed.length === 0 ? {} : { typed: vm.typed }),
    };
    // The configuration last: a VM exists once its file does.
    writeJsonAtomic(this.#sidecarFile(vm.vmid), sidecar);
    writeFileAtomic(this.#confFile(vm.vmid), formatConf(vm), 0o640);
    this.#vms.set(vm.vmid, vm);
    return vm;
  }

  #confFile(vmid: number): string {
    return join(this.#confDirectory, `${vmid}.conf`);
  }

  #sidecarFile(vmid: number): string {
    return join(this.#stateDirectory, `${vmid}.json`);
  }
}

/** The name that the node shows for a VM. */
export function nameOf(vm: Vm): string {
  return vm.config.name ?? `VM ${vm.vmid}`;
}

export function isTemplate(vm: Vm): boolean {
  return vm.config.template === "1";
}

/** A VM as its guest sees it. */
export function guestOf(vm: Vm): GuestVm {
  return { vmid: vm.vmid, name: nameOf(vm), config: vm.config, templateName: vm.templateName };
}
