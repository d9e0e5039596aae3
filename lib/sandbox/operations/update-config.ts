import { failure, parameterError } from "../calls.ts";
import type { Guard } from "../permissions.ts";
import { isVmOption } from "../schema/index.ts";
import { removeVolume, type Vm } from "../world/index.ts";
import { asksForNew, demandStorage, type Log, provideDrive, removeVolumes } from "./allocate.ts";
import { demandBootDevices, withoutDevice } from "./boot-order.ts";
import { type Draft, demandUnlocked, type Operation, vmOf, withPending } from "./context.ts";
import {
  type Drive,
  drivesOf,
  hasVolume,
  isCdrom,
  isCloudInit,
  isDriveKey,
  isUnusedKey,
  parseDrive,
  printDrive,
} from "./drives.ts";
import { needsRestart } from "./hotplug.ts";
import { demandBridge, isNicKey, parseNic, printNic, withMac } from "./network.ts";
import { normalOption } from "./normal-option.ts";
import { demandDrives, demandOptions } from "./option-privileges.ts";

/** What a client wants changed in a VM's configuration. */
export interface ConfigChange {
  readonly options: Readonly<Record<string, string>>;
  readonly deletions: readonly string[];
  /** Pending changes to be dropped. */
  readonly reverts: readonly string[];
  /** The configuration that the client has seen; refused when it is not the current one. */
  readonly digest: string | undefined;
  readonly skiplock: boolean;
}

/**
 * Check a change before anything happens.
 * @throws {ApiError}
 */
export function checkChange({ world, caller }: Operation, vmid: number, change: ConfigChange): void {
  const { options, deletions, reverts } = change;
  if (Object.keys(options).length + deletions.length + reverts.length === 0) {
    throw failure("no options specified");
  }
  for (const [name, keys] of Object.entries({ delete: deletions, revert: reverts })) {
    const unknown = keys.find((key) => !isVmOption(key));
    if (unknown !== undefined) throw parameterError({ [name]: `unknown option '${unknown}'` });
  }
  const vm = world.vms.get(vmid);
  const guard: Guard = { access: world.access, caller };
  demandOptions(guard, vmid, options, deletions, vm === undefined ? {} : withPending(vm));
  checkDevices(guard, { world }, options);
}

/**
 * Check the devices among options: storages, import sources, bridges.
 * @throws {ApiError}
 */
export function checkDevices(
  guard: Guard,
  { world }: Pick<Operation, "world">,
  options: ConfigChange["options"],
): void {
  for (const [key, value] of Object.entries(options)) {
    if (isNicKey(key)) demandBridge(guard, parseNic(key, value));
    if (!isDriveKey(key)) continue;
    const drive = parseDrive(key, value);
    if (drive["import-from"] !== undefined && !/:0(?:\.0+)?$/.test(drive.file ?? "")) {
      throw parameterError({
        [key]: "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>",
      });
    }
    demandStorage(guard, world, drive);
  }
}

/**
 * Change a VM's configuration. What a running VM cannot take over waits for its next start.
 * @throws {ApiError}
 */
export async function updateConfig(
  operation: Operation,
  vmid: number,
  change: ConfigChange,
  log: Log,
): Promise<void> {
  const { world, caller } = operation;
  const guard: Guard = { access: world.access, caller };
  await world.vms.exclusively(vmid, async () => {
    const vm = vmOf(world, vmid);
    if (change.digest !== undefined && change.digest !== world.vms.digest(vm)) {
      throw failure("checksum mismatch (file change by other user?)");
    }
    if (!change.skiplock) demandUnlocked(vm);
    log(`update VM ${vmid}: ${describe(change)}`);
    const next = { ...withPending(vm) };
    demandDrives(guard, vmid, Object.fromEntries(change.deletions.flatMap((key) => entryOf(next, key))));
    for (const key of change.deletions) await removeOption(operation, next, key);
    // Volumes are gone by now: the configuration must not name them, whatever becomes of the rest.
    if (change.deletions.length > 0) settle(operation, vm, next, []);
    demandDrives(guard, vmid, change.options);
    await setOptions(operation, vmid, next, change.options, log);
    settle(operation, vmOf(world, vmid), next, change.reverts);
  });
}

function entryOf(draft: Draft, key: string): [string, string][] {
  return draft[key] === undefined ? [] : [[key, draft[key]]];
}

/** As `qm set` repeats what it was told; passwords are not repeated. */
function describe({ options, deletions, reverts }: ConfigChange): string {
  const all: Record<string, string> = {
    ...options,
    ...(options.cipassword === undefined ? {} : { cipassword: "<hidden>" }),
    ...(deletions.length === 0 ? {} : { delete: deletions.join(",") }),
    ...(reverts.length === 0 ? {} : { revert: reverts.join(",") }),
  };
  return Object.keys(all)
    .sort()
    .map((key) => `-${key} ${all[key]}`)
    .join(" ");
}

/** Set options in a draft, making the volumes that they ask for. What was made is removed when it fails. */
export async function setOptions(
  { world }: Operation,
  vmid: number,
  draft: Draft,
  options: ConfigChange["options"],
  log: Log,
): Promise<void> {
  const created: string[] = [];
  try {
    for (const key of Object.keys(options).sort()) {
      const value = options[key] ?? "";
      if (isDriveKey(key)) await setDrive(world, vmid, draft, key, value, log, created);
      else if (isNicKey(key)) draft[key] = printNic(withMac(parseNic(key, value)));
      else draft[key] = normalOption(key, value);
    }
    if (options.boot !== undefined) demandBootDevices(options.boot, draft);
  } catch (error) {
    await removeVolumes(world, created);
    throw error;
  }
}

async function setDrive(
  world: Operation["world"],
  vmid: number,
  draft: Draft,
  key: string,
  value: string,
  log: Log,
  created: string[],
): Promise<void> {
  const asked = parseDrive(key, value);
  if (isCloudInit(asked)) demandNoOtherCloudInit(draft, key);
  const drive = await provideDrive(world, vmid, key, asked, log, created);
  const before = draft[key] === undefined ? undefined : parseDrive(key, draft[key]);
  if (before !== undefined && before.file !== drive.file) setAside(draft, before);
  for (const [unused, volid] of Object.entries(draft)) {
    if (isUnusedKey(unused) && volid === drive.file) delete draft[unused];
  }
  draft[key] = printDrive(key, drive);
  const isNew = asksForNew(asked) || asked.file?.endsWith(":cloudinit") === true;
  if (isNew) log(`${key}: successfully created disk '${draft[key]}'`);
  if (asked.file?.endsWith(":cloudinit")) log("generating cloud-init ISO");
}

function demandNoOtherCloudInit(draft: Draft, key: string): void {
  const other = drivesOf(draft).find(([name, drive]) => name !== key && isCloudInit(drive));
  if (other !== undefined) throw failure(`${key} - cloud-init drive is already attached at '${other[0]}'`);
}

/** Take an option away; the volume of a disk is kept as unused, that of a cloud-init drive is removed. */
async function removeOption({ world }: Operation, draft: Draft, key: string): Promise<void> {
  const value = draft[key];
  if (value === undefined) return;
  delete draft[key];
  if (isUnusedKey(key)) {
    await removeVolume(world.storages.locate(value));
  } else if (isDriveKey(key)) {
    const drive = parseDrive(key, value);
    if (isCloudInit(drive)) await removeVolume(world.storages.locate(drive.file ?? ""));
    else setAside(draft, drive);
  }
  const boot = withoutDevice(draft.boot, key);
  if (boot !== undefined) draft.boot = boot;
}

/** Keep the volume of a disk that is no longer attached. */
function setAside(draft: Draft, drive: Drive): void {
  if (!hasVolume(drive) || isCdrom(drive) || drive.file?.startsWith("/")) return;
  const number = freeUnused(draft);
  draft[`unused${number}`] = drive.file ?? "";
}

/** The lowest number of an unused disk that is free. */
export function freeUnused(draft: Draft): number {
  let number = 0;
  while (draft[`unused${number}`] !== undefined) number += 1;
  return number;
}

/** Write the new configuration: at once for a VM that is off, where it can be taken over for one that runs. */
function settle({ world }: Operation, vm: Vm, next: Draft, reverts: readonly string[]): void {
  if (vm.running === undefined) {
    world.vms.update(vm.vmid, { config: next, pending: {} });
    return;
  }
  const config: Draft = { ...vm.config };
  const pending: Record<string, string | null> = {};
  for (const key of new Set([...Object.keys(vm.config), ...Object.keys(next)])) {
    const value = next[key];
    if (value === vm.config[key] || reverts.includes(key)) continue;
    if (needsRestart(key)) pending[key] = value ?? null;
    else if (value === undefined) delete config[key];
    else config[key] = value;
  }
  world.vms.update(vm.vmid, { config, pending });
}
