import {
  optionSchema,
  type PropertySchemas,
  parsePropertyString,
  printPropertyString,
} from "../schema/index.ts";
import type { VmConfig } from "../world/index.ts";

/** A drive's settings by key; `file` is its volume. */
export type Drive = Readonly<Record<string, string>>;

const DRIVE = /^(?:ide[0-3]|sata[0-5]|scsi(?:[12]?\d|30)|virtio(?:\d|1[0-5])|efidisk0|tpmstate0)$/;

/** Whether an option is a drive: a disk, a CD-ROM, the EFI disk or the TPM's state. */
export function isDriveKey(key: string): boolean {
  return DRIVE.test(key);
}

export function isUnusedKey(key: string): boolean {
  return /^unused\d+$/.test(key);
}

/** Read a drive option. */
export function parseDrive(key: string, text: string): Drive {
  return parsePropertyString(text, keysOf(key), key);
}

/** Write a drive option as configuration files have it. */
export function printDrive(key: string, drive: Drive): string {
  return printPropertyString(drive, keysOf(key));
}

/** The drives of a VM by key, in the order of keys. */
export function drivesOf(config: VmConfig): [string, Drive][] {
  return Object.keys(config)
    .filter(isDriveKey)
    .sort()
    .map((key) => [key, parseDrive(key, config[key] ?? "")]);
}

/** The volume of an unused disk. */
export function unusedVolumes(config: VmConfig): [string, string][] {
  return Object.entries(config).filter(([key]) => isUnusedKey(key));
}

export function isCdrom(drive: Drive): boolean {
  return drive.media === "cdrom";
}

/** Whether a drive is, or asks for, a cloud-init drive. */
export function isCloudInit(drive: Drive): boolean {
  return /:cloudinit$|\/vm-\d+-cloudinit(?:\.(?:raw|qcow2))?$/.test(drive.file ?? "");
}

/** Whether an ISO is in one of the VM's drives: an installer, as far as the node can tell. */
export function hasIso(config: VmConfig): boolean {
  return drivesOf(config).some(([, drive]) => isCdrom(drive) && hasVolume(drive) && !isCloudInit(drive));
}

/** Whether a drive holds a volume of a storage. */
export function hasVolume(drive: Drive): boolean {
  return drive.file !== undefined && drive.file !== "none" && drive.file !== "cdrom";
}

function keysOf(key: string): PropertySchemas {
  const format = optionSchema(key)?.format;
  if (typeof format !== "object") throw new Error(`${key} is no drive`);
  return format;
}
