import { messageOf } from "../../errors.ts";
import type { RunOptions } from "../../process.ts";
import type { MadeVm, Vmid, VmMaker } from "../vm-maker.ts";

/** A VM's options. */
export type Config = Readonly<Record<string, string>>;

/**
 * A VM's options; undefined when there is no such VM. One that was listed a moment ago may be gone by now.
 * @throws {Error} when the node does not say
 */
export async function configOf(vms: VmMaker, vmid: Vmid, options: RunOptions): Promise<Config | undefined> {
  try {
    return await vms.config(vmid, options);
  } catch (error) {
    if (!/\.conf' does not exist/.test(messageOf(error))) throw error;
    const there = (await vms.list(options)).some((vm) => vm.vmid === vmid);
    // It is, but on another node: nothing is known of it.
    return there ? {} : undefined;
  }
}

/** A VM or template that has a name which was asked for. */
export interface Namesake extends MadeVm {
  readonly config: Config;
}

/** The VMs and templates of a name. */
export async function namesakesOf(vms: VmMaker, name: string, options: RunOptions): Promise<Namesake[]> {
  const found: Namesake[] = [];
  for (const vm of await vms.list(options)) {
    if (vm.name !== name) continue;
    const config = await configOf(vms, vm.vmid, options);
    if (config !== undefined) found.push({ ...vm, config });
  }
  return found;
}
