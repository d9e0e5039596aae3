import { type Caller, failure } from "../calls.ts";
import type { GuestRuntime } from "../hooks.ts";
import { isTemplate, type Vm, type VmConfig, type World } from "../world/index.ts";

/** What an operation works with: the call's context without its parameters. */
export interface Operation {
  readonly world: World;
  readonly guests: GuestRuntime;
  readonly caller: Caller;
}

/** Options of a VM while they are being changed. */
export type Draft = Record<string, string>;

/**
 * A VM that must be there.
 * @throws {ApiError} "Configuration file … does not exist"
 */
export function vmOf(world: World, vmid: number): Vm {
  const vm = world.vms.get(vmid);
  if (vm !== undefined) return vm;
  throw failure(`Configuration file 'nodes/${world.node}/qemu-server/${vmid}.conf' does not exist`);
}

/** The same where the server words it differently (clone, stop). */
export function vmOnNode(world: World, vmid: number): Vm {
  const vm = world.vms.get(vmid);
  if (vm !== undefined) return vm;
  throw failure(`unable to find configuration file for VM ${vmid} on node '${world.node}'`);
}

/** @throws {ApiError} "VM is locked (…)" */
export function demandUnlocked(vm: Vm): void {
  if (vm.config.lock !== undefined) throw failure(`VM is locked (${vm.config.lock})`);
}

/** The configuration as it will be after the next start. */
export function withPending(vm: Vm): VmConfig {
  const merged = { ...vm.config };
  for (const [key, value] of Object.entries(vm.pending)) {
    if (value === null) delete merged[key];
    else merged[key] = value;
  }
  return merged;
}

/** The template's name that a clone of a VM descends from. */
export function lineageOf(source: Vm): string | undefined {
  return isTemplate(source) ? source.config.name : source.templateName;
}
