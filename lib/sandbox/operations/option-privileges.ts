import { failure, parameterError } from "../calls.ts";
import { demand, type Guard } from "../permissions.ts";
import type { Privilege, VmConfig } from "../world/index.ts";
import { isCdrom, isCloudInit, isDriveKey, isUnusedKey, parseDrive } from "./drives.ts";
import { isNicKey } from "./network.ts";

const OPTIONS: readonly (readonly [Privilege, readonly string[]])[] = [
  ["VM.Config.CPU", ["affinity", "cores", "cpu", "cpulimit", "cpuunits", "numa", "smp", "sockets", "vcpus"]],
  ["VM.Config.Memory", ["allow-ksm", "balloon", "memory", "shares"]],
  [
    "VM.Config.HWType",
    ["acpi", "audio0", "hotplug", "kvm", "machine", "rng0", "scsihw", "smbios1", "tablet", "vga", "watchdog"],
  ],
  [
    "VM.Config.Options",
    [
      "agent",
      "autostart",
      "bios",
      "description",
      "keyboard",
      "localtime",
      "migrate_downtime",
      "migrate_speed",
      "name",
      "onboot",
      "ostype",
      "protection",
      "reboot",
      "startdate",
      "startup",
      "tags",
      "tdf",
      "template",
      "vmgenid",
    ],
  ],
  ["VM.Config.Disk", ["boot", "bootdisk", "vmstatestorage"]],
  [
    "VM.Config.Cloudinit",
    ["cicustom", "cipassword", "citype", "ciupgrade", "ciuser", "nameserver", "searchdomain", "sshkeys"],
  ],
  ["VM.PowerMgmt", ["freeze"]],
];

const PRIVILEGE_OF = new Map(OPTIONS.flatMap(([privilege, keys]) => keys.map((key) => [key, privilege])));

/**
 * Check that the caller may set or delete options of a VM. Drives are passed over: see `demandDrives`.
 * @param changes the options that are set; those to be deleted are looked up in `current`
 * @throws {ApiError} 403, or 500 for what only root may set
 */
export function demandOptions(
  guard: Guard,
  vmid: number,
  changes: VmConfig,
  deletions: readonly string[],
  current: VmConfig,
): void {
  demandOneLine(changes);
  if (isRoot(guard)) return;
  const needed = [...deletions.map((key) => [key, current[key]] as const), ...Object.entries(changes)];
  for (const [key, value] of needed) {
    if (!isDrive(key)) demand(guard, `/vms/${vmid}`, [privilegeOf(key, value)]);
  }
}

/**
 * Check that the caller may set, change or remove drives. Which privileges a drive needs depends on what it is. A real
 * node looks when it changes the VM, which may be in a task, and not at all when it makes one.
 * @param drives options of drives; others are passed over
 * @throws {ApiError} 403
 */
export function demandDrives(guard: Guard, vmid: number, drives: VmConfig): void {
  if (isRoot(guard)) return;
  for (const [key, value] of Object.entries(drives)) {
    if (isDrive(key)) for (const one of privilegesOfDrive(key, value)) demand(guard, `/vms/${vmid}`, [one]);
  }
}

/** A configuration file has a line for each option; only the description may have more. */
function demandOneLine(changes: VmConfig): void {
  const broken = Object.keys(changes).find(
    (key) => key !== "description" && /[\r\n]/.test(changes[key] ?? ""),
  );
  if (broken !== undefined) throw parameterError({ [broken]: "value contains a line break" });
}

function isDrive(key: string): boolean {
  return isDriveKey(key) || isUnusedKey(key) || key === "cdrom";
}

function privilegesOfDrive(key: string, value: string): readonly Privilege[] {
  if (key === "cdrom") return ["VM.Config.CDROM"];
  if (isUnusedKey(key)) return ["VM.Config.Disk"];
  const drive = parseDrive(key, value);
  if (isCloudInit(drive)) return ["VM.Config.Cloudinit", "VM.Config.CDROM"];
  return [isCdrom(drive) ? "VM.Config.CDROM" : "VM.Config.Disk"];
}

function privilegeOf(key: string, value: string | undefined): Privilege {
  if (isNicKey(key)) return "VM.Config.Network";
  if (/^ipconfig\d+$/.test(key)) return "VM.Config.Cloudinit";
  if (/^numa\d+$/.test(key)) return "VM.Config.CPU";
  if (/^serial\d+$/.test(key) && (value === undefined || value === "socket")) return "VM.Config.HWType";
  const privilege = PRIVILEGE_OF.get(key);
  if (privilege === undefined) throw failure(`only root can set '${key}' config`);
  return privilege;
}

/** Only the user in person: root's tokens are checked like everybody else's. */
export function isRoot({ caller }: Guard): boolean {
  return caller.user === "root@pam" && caller.token === undefined;
}
