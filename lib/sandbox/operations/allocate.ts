import { failure } from "../calls.ts";
import { allowed, demand, type Guard } from "../permissions.ts";
import { formatDiskSize } from "../schema/index.ts";
import {
  createImage,
  freeDiskName,
  type ImageFormat,
  inspectImage,
  parseVolumeId,
  removeVolume,
  type Worker,
  type World,
} from "../world/index.ts";
import { type Drive, hasVolume, isCloudInit } from "./drives.ts";
import { copyIn, type ImportSource, readSource, regularFile } from "./import-source.ts";
import { isRoot } from "./option-privileges.ts";
import { formattingLine, transferReporter } from "./wording.ts";

/** Sizes of variable stores as OVMF ships them. */
const EFI_SIZE: Readonly<Record<string, number>> = { "2m": 128 * 1024, "4m": 528 * 1024 };
const CLOUD_INIT_SIZE = 4 * 1024 * 1024;
/** What a file of the raw format can be at most here. */
const LARGEST = 16 * 1024 ** 4;
const GIB = 1024 ** 3;

export type Log = Worker["log"];

/** Whether a drive asks for a new volume ("vmdata:32") instead of naming one. */
export function asksForNew(drive: Drive): boolean {
  return /^(?:[^:/\s]+:)\d+(?:\.\d+)?$/.test(drive.file ?? "");
}

/**
 * Check before anything happens that the storages exist and that the caller may use them.
 * @throws {ApiError}
 */
export function demandStorage(guard: Guard, world: World, drive: Drive): void {
  if (!hasVolume(drive)) return;
  const file = drive.file ?? "";
  if (file.startsWith("/")) {
    if (!isRoot(guard)) throw onlyRootPaths();
    return;
  }
  const storage = world.storages.get(parseVolumeId(file)?.storage ?? "");
  if (asksForNew(drive) || file.endsWith(":cloudinit")) {
    demand(guard, `/storage/${storage.id}`, ["Datastore.AllocateSpace"]);
  } else if (!isRoot(guard)) {
    demandVolume(guard, storage.id);
  }
  const source = drive["import-from"];
  if (source?.startsWith("/") && !isRoot(guard)) throw onlyRootPaths();
  if (source !== undefined && !source.startsWith("/")) {
    demandVolume(guard, world.storages.get(parseVolumeId(source)?.storage ?? "").id);
  }
}

/**
 * Check that the caller may see and use what lies on a storage. Whoever may change it all may, without being named.
 * @throws {ApiError}
 */
export function demandVolume(guard: Guard, storage: string): void {
  const path = `/storage/${storage}`;
  if (allowed(guard, path, ["Datastore.Allocate"])) return;
  demand(guard, path, ["Datastore.AllocateSpace", "Datastore.Audit"], "any");
}

/**
 * Make the volume that a drive asks for, or check the one that it names.
 * @param created receives the id of each volume that was made, for undoing
 * @returns the drive as the configuration will have it
 */
export async function provideDrive(
  world: World,
  vmid: number,
  key: string,
  drive: Drive,
  log: Log,
  created: string[],
): Promise<Drive> {
  if (!hasVolume(drive)) return drive;
  if (isCloudInit(drive) && drive.file?.endsWith(":cloudinit")) {
    return await makeCloudInit(world, vmid, drive, log, created);
  }
  if (!asksForNew(drive)) return await existing(world, drive);
  if (drive["import-from"] !== undefined) return await imported(world, vmid, drive, log, created);
  return await empty(world, vmid, key, drive, log, created);
}

async function empty(
  world: World,
  vmid: number,
  key: string,
  drive: Drive,
  log: Log,
  created: string[],
): Promise<Drive> {
  const { storage, amount } = requested(drive);
  const efi = key === "efidisk0" ? EFI_SIZE[drive.efitype ?? "2m"] : undefined;
  const size = efi ?? (key === "tpmstate0" ? CLOUD_INIT_SIZE : Math.floor(amount * GIB));
  const format = formatOf(drive.format);
  const volid = await newVolume(world, storage, vmid, format);
  const volume = world.storages.locate(volid);
  log(formattingLine(volume.path, format, size));
  if (size > LARGEST) {
    throw failure(
      `unable to create image: qemu-img: ${volume.path}: The image size is too large for file format '${format}'`,
    );
  }
  created.push(volid);
  await createImage(volume, size);
  // OVMF's variables are copied into the new store.
  if (efi !== undefined) transferReporter(size, log)(1);
  return withVolume(drive, volid, size);
}

async function imported(
  world: World,
  vmid: number,
  drive: Drive,
  log: Log,
  created: string[],
): Promise<Drive> {
  const source = await sourceOf(world, drive["import-from"] ?? "");
  const { storage } = requested(drive);
  const format = formatOf(drive.format);
  const volid = await newVolume(world, storage, vmid, format);
  created.push(volid);
  await copyIn(world, source, volid, log);
  return withVolume(drive, volid, source.info.virtualSize);
}

async function sourceOf(world: World, name: string): Promise<ImportSource> {
  const path = name.startsWith("/") ? name : world.storages.locate(name).path;
  const hostPath = regularFile(world, path);
  if (hostPath !== undefined) return await readSource(path, hostPath);
  throw failure(name.startsWith("/") ? `can't find file '${name}'` : `volume '${name}' does not exist`);
}

async function makeCloudInit(
  world: World,
  vmid: number,
  drive: Drive,
  log: Log,
  created: string[],
): Promise<Drive> {
  const storage = parseVolumeId(drive.file ?? "")?.storage ?? "";
  const format = formatOf(drive.format ?? "qcow2");
  const volid = `${storage}:${vmid}/vm-${vmid}-cloudinit.${format}`;
  const volume = world.storages.locate(volid);
  if ((await inspectImage(volume.hostPath)) !== undefined) {
    throw failure(`disk image '${volume.path}' already exists`);
  }
  log(formattingLine(volume.path, format, CLOUD_INIT_SIZE));
  await createImage(volume, CLOUD_INIT_SIZE);
  created.push(volid);
  const { format: _format, ...rest } = drive;
  return { ...rest, file: volid, media: "cdrom" };
}

async function existing(world: World, drive: Drive): Promise<Drive> {
  const volid = drive.file ?? "";
  if (volid.startsWith("/")) return drive;
  const volume = await world.storages.describe(volid);
  if (volume === undefined) throw failure(`volume '${volid}' does not exist`);
  return isCloudInit(drive) ? drive : { ...drive, size: formatDiskSize(volume.size) };
}

/** Remove volumes that an operation made before it failed. */
export async function removeVolumes(world: World, volids: readonly string[]): Promise<void> {
  for (const volid of volids) await removeVolume(world.storages.locate(volid));
}

/** A volume id that is free. */
export async function newVolume(
  world: World,
  storageId: string,
  vmid: number,
  format: ImageFormat,
): Promise<string> {
  const storage = world.storages.get(storageId);
  if (!storage.content.includes("images")) {
    throw failure(`storage '${storageId}' does not support content-type 'images'`);
  }
  return `${storageId}:${vmid}/${await freeDiskName(world.storages, storage, vmid, format)}`;
}

/** Formats that a directory storage of the sandbox holds; raw when nothing is said. */
export function formatOf(text: string | undefined): ImageFormat {
  if (text === undefined || text === "raw" || text === "qcow2") return text ?? "raw";
  throw failure(`unsupported format '${text}'`);
}

function requested(drive: Drive): { storage: string; amount: number } {
  const { storage = "", name = "0" } = parseVolumeId(drive.file ?? "") ?? {};
  return { storage, amount: Number(name) };
}

function withVolume(drive: Drive, volid: string, size: number): Drive {
  const { "import-from": _source, format: _format, ...rest } = drive;
  return { ...rest, file: volid, size: formatDiskSize(size) };
}

function onlyRootPaths(): Error {
  return failure(
    "Only root can pass arbitrary filesystem paths. at /usr/share/perl5/PVE/Storage.pm line 651.",
  );
}
