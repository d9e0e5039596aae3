import { failure } from "../calls.ts";
import type { VmConfig } from "../world/index.ts";
import { drivesOf, hasVolume, isCdrom } from "./drives.ts";

/** The devices of a boot option, or undefined for the old form ("c"). */
function bootDevices(boot: string | undefined): string[] | undefined {
  const order = /(?:^|,)order=(?<devices>[^,]*)/.exec(boot ?? "")?.groups?.devices;
  return order?.split(";").filter((device) => device !== "");
}

/**
 * The boot option that a VM gets when none was asked for: the first disk, the first CD-ROM, the first network card.
 */
export function defaultBoot(config: VmConfig): string {
  const drives = drivesOf(config).filter(([key]) => key !== "efidisk0" && key !== "tpmstate0");
  const disk = drives.find(([, drive]) => !isCdrom(drive));
  const cdrom = drives.find(([, drive]) => isCdrom(drive));
  const nic = Object.keys(config)
    .filter((key) => /^net\d+$/.test(key))
    .sort()[0];
  const devices = [disk?.[0], cdrom?.[0], nic].filter((device) => device !== undefined);
  return devices.length === 0 ? " " : `order=${devices.join(";")}`;
}

/** @throws {ApiError} when the order names a device that the VM does not have */
export function demandBootDevices(boot: string, config: VmConfig): void {
  for (const device of bootDevices(boot) ?? []) {
    if (config[device] === undefined) throw failure(`invalid bootorder: device '${device}' does not exist'`);
  }
}

/** The boot option without a device that was removed. */
export function withoutDevice(boot: string | undefined, device: string): string | undefined {
  const devices = bootDevices(boot);
  if (boot === undefined || devices?.includes(device) !== true) return boot;
  return boot.replace(/order=[^,]*/, `order=${devices.filter((other) => other !== device).join(";")}`);
}

/** Bytes of the disk that the VM boots from; 0 without one. */
export function bootDisk(config: VmConfig): string | undefined {
  const drives = new Map(drivesOf(config));
  const order = bootDevices(config.boot) ?? [...drives.keys()];
  return order.find((key) => {
    const drive = drives.get(key);
    return drive !== undefined && !isCdrom(drive) && hasVolume(drive) && key !== "efidisk0";
  });
}
