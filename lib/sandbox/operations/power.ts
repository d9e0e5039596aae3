import { failure } from "../calls.ts";
import { guestOf, isTemplate, type Vm, type Worker } from "../world/index.ts";
import { demandUnlocked, type Operation, vmOf, vmOnNode, withPending } from "./context.ts";
import { drivesOf, hasVolume, isCloudInit } from "./drives.ts";
import { isNicKey, parseNic } from "./network.ts";
import { memoryOf, vcpusOf } from "./vm-status.ts";

/**
 * Start a VM: pending changes come into force, its guest begins to run.
 * @throws {ApiError} as the task's result
 */
export async function startVm(operation: Operation, vmid: number, worker: Worker): Promise<void> {
  const { world } = operation;
  await world.vms.exclusively(vmid, async () => {
    const vm = vmOf(world, vmid);
    if (isTemplate(vm)) throw failure("you can't start a vm if it's a template");
    demandUnlocked(vm);
    if (vm.running !== undefined) throw failure(`VM ${vmid} already running`);
    await worker.takes(2);
    await powerOn(operation, vm, worker);
  });
}

async function powerOn({ world, guests }: Operation, vm: Vm, worker: Worker): Promise<void> {
  const config = withPending(vm);
  const ready = world.vms.update(vm.vmid, { config, pending: {} });
  if (drivesOf(config).some(([, drive]) => isCloudInit(drive))) worker.log("generating cloud-init ISO");
  await demandVolumes({ world }, ready);
  demandHardware({ world }, ready, worker);
  const running = { pid: nextPid(), since: Date.now() };
  world.vms.update(vm.vmid, { running, typed: [] });
  try {
    await guests.started(guestOf(ready));
  } catch (error) {
    world.vms.update(vm.vmid, { running: undefined });
    throw error;
  }
}

/** A cloud-init drive is made anew; anything else that is named has to be there. */
async function demandVolumes({ world }: Pick<Operation, "world">, { config }: Vm): Promise<void> {
  for (const [, drive] of drivesOf(config)) {
    if (!hasVolume(drive) || isCloudInit(drive) || drive.file?.startsWith("/")) continue;
    if ((await world.storages.describe(drive.file ?? "")) !== undefined) continue;
    throw failure(`volume '${drive.file}' does not exist`);
  }
}

/** What QEMU would refuse on a real node. */
function demandHardware({ world }: Pick<Operation, "world">, { config }: Vm, worker: Worker): void {
  const { cpus, memory } = world.hardware;
  if (vcpusOf(config) > cpus) throw failure(`MAX ${cpus} vcpus allowed per VM on this node`);
  for (const [key, value] of Object.entries(config)) {
    if (!isNicKey(key)) continue;
    const { bridge } = parseNic(key, value);
    if (bridge !== undefined && !world.bridges.some(({ name }) => name === bridge)) {
      throw failure(`bridge '${bridge}' does not exist`);
    }
  }
  if (memoryOf(config) > memory) {
    worker.log("kvm: cannot set up guest memory 'pc.ram': Cannot allocate memory");
    throw failure("start failed: QEMU exited with code 1");
  }
}

/** Cut a VM's power. One that does not run is fine. */
export async function stopVm(operation: Operation, vmid: number, worker: Worker): Promise<void> {
  await powerOff(operation, vmid, "stop", worker);
}

/** Let a VM's guest end by itself. One that does not run is fine. */
export async function shutdownVm(operation: Operation, vmid: number, worker: Worker): Promise<void> {
  await powerOff(operation, vmid, "shutdown", worker);
}

async function powerOff(
  { world, guests }: Operation,
  vmid: number,
  how: "stop" | "shutdown",
  worker: Worker,
): Promise<void> {
  await world.vms.exclusively(vmid, async () => {
    const vm = vmOnNode(world, vmid);
    demandUnlocked(vm);
    if (vm.running === undefined) return;
    await worker.takes(how === "stop" ? 1 : 3);
    await guests.stopped(guestOf(vm), how);
    world.vms.update(vmid, { running: undefined });
  });
}

/** Shut a VM down and start it again, with what was pending. */
export async function rebootVm(operation: Operation, vmid: number, worker: Worker): Promise<void> {
  await shutdownVm(operation, vmid, worker);
  await startVm(operation, vmid, worker);
}

/** The reset button: the guest begins anew, the VM's process stays. */
export async function resetVm({ world, guests }: Operation, vmid: number): Promise<void> {
  const vm = demandRunning(vmOf(world, vmid));
  await guests.stopped(guestOf(vm), "stop");
  await guests.started(guestOf(vm));
}

/** @throws {ApiError} "VM … not running" */
export function demandRunning(vm: Vm): Vm {
  if (vm.running === undefined) throw failure(`VM ${vm.vmid} not running`);
  return vm;
}

/** After a restart of the sandbox: the VMs that ran run again. */
export async function resumeAll({ world, guests }: Operation, log: (line: string) => void): Promise<void> {
  for (const vm of world.vms.list()) {
    if (vm.running === undefined) continue;
    try {
      await guests.started(guestOf(vm));
    } catch (error) {
      world.vms.update(vm.vmid, { running: undefined });
      log(`VM ${vm.vmid} ran before and could not be started again: ${String(error)}`);
    }
  }
}

let lastPid = 4000;

/** A pid for the VM's process, which does not exist: only its number is shown. */
function nextPid(): number {
  lastPid += 1;
  return lastPid;
}
