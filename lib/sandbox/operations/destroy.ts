import { failure } from "../calls.ts";
import { linkedClones, removeVolume, type Worker } from "../world/index.ts";
import { demandUnlocked, type Operation, vmOf } from "./context.ts";
import { drivesOf, hasVolume, isCdrom, isCloudInit, unusedVolumes } from "./drives.ts";

/**
 * Check before anything happens.
 * @throws {ApiError} when there is no such VM or it runs
 */
export function checkDestroy({ world }: Operation, vmid: number): void {
  const vm = vmOf(world, vmid);
  if (vm.config.protection === "1") {
    throw failure(`can't remove VM ${vmid} - protection mode enabled`);
  }
  if (vm.running !== undefined) throw failure(`VM ${vmid} is running - destroy failed`);
}

/**
 * Destroy a VM and its disks.
 * @param options `unreferenced`: also images of the VM that its configuration does not name
 */
export async function destroyVm(
  { world, guests }: Operation,
  vmid: number,
  options: { readonly purge: boolean; readonly unreferenced: boolean },
  worker: Worker,
): Promise<void> {
  await world.vms.exclusively(vmid, async () => {
    const vm = vmOf(world, vmid);
    demandUnlocked(vm);
    const volids = new Set([
      ...drivesOf(vm.config)
        .filter(([, drive]) => hasVolume(drive) && (!isCdrom(drive) || isCloudInit(drive)))
        .map(([, drive]) => drive.file ?? ""),
      ...unusedVolumes(vm.config).map(([, volid]) => volid),
    ]);
    for (const volid of volids) await demandNoClones({ world }, volid);
    await worker.takes(1);
    if (options.unreferenced) {
      for (const storage of world.storages.list()) {
        for (const volume of await world.storages.content(storage, { content: "images", vmid })) {
          volids.add(volume.volid);
        }
      }
    }
    for (const volid of volids) {
      const volume = world.storages.locate(volid);
      // A disk that another VM owns is left alone.
      if (volume.vmid === vmid) await removeVolume(volume);
    }
    if (options.purge) worker.log(`purging VM ${vmid} from related configurations..`);
    world.vms.remove(vmid);
    await guests.destroyed(vmid);
  });
}

async function demandNoClones({ world }: Pick<Operation, "world">, volid: string): Promise<void> {
  const volume = world.storages.locate(volid);
  if (volume.isBase && (await linkedClones(world.storages, volume)).length > 0) {
    throw failure(`base volume '${volid}' is still in use by linked cloned`);
  }
}
