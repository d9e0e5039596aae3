import { failure } from "../calls.ts";
import { isTemplate, toBase, type Worker } from "../world/index.ts";
import { type Draft, demandUnlocked, type Operation, vmOf } from "./context.ts";
import { drivesOf, hasVolume, isCdrom, printDrive } from "./drives.ts";

/**
 * Check before anything happens.
 * @throws {ApiError}
 */
export function checkTemplate({ world }: Operation, vmid: number): void {
  const vm = vmOf(world, vmid);
  demandUnlocked(vm);
  if (isTemplate(vm)) throw failure("you can't convert a template to a template");
  if (vm.running !== undefined) throw failure("you can't convert a VM to template if VM is running");
}

/** Turn a VM into a template: its disks become bases, which never change any more. */
export async function makeTemplate({ world }: Operation, vmid: number, worker: Worker): Promise<void> {
  await world.vms.exclusively(vmid, async () => {
    const vm = vmOf(world, vmid);
    await worker.takes(0.5);
    const draft: Draft = { ...vm.config };
    for (const [key, drive] of drivesOf(vm.config)) {
      if (!hasVolume(drive) || isCdrom(drive)) continue;
      const volume = world.storages.locate(drive.file ?? "");
      draft[key] = printDrive(key, { ...drive, file: await toBase(world.storages, volume) });
      // Each step on its own: after a crash the configuration names the files that are there.
      world.vms.update(vmid, { config: draft });
    }
    world.vms.update(vmid, { config: { ...draft, template: "1" } });
  });
}
