import { failure } from "../calls.ts";
import { demand } from "../permissions.ts";
import { formatDiskSize, parseDiskSize } from "../schema/index.ts";
import {
  cloneImage,
  growImage,
  type LocatedVolume,
  parseVolumeId,
  removeVolume,
  type Vm,
  type Worker,
} from "../world/index.ts";
import { formatOf, type Log, newVolume, removeVolumes } from "./allocate.ts";
import { type Draft, demandUnlocked, type Operation, vmOf, withPending } from "./context.ts";
import { type Drive, hasVolume, parseDrive, printDrive } from "./drives.ts";
import { copyIn, readSource, regularFile } from "./import-source.ts";
import { demandRoomFor } from "./room.ts";
import { freeUnused } from "./update-config.ts";
import { formattingLine, transferReporter } from "./wording.ts";

/**
 * Grow a disk.
 * @param size bytes, or with "+" in front how much more
 * @throws {ApiError} as the task's result
 */
export async function resizeDisk(
  { world }: Operation,
  vmid: number,
  request: { readonly disk: string; readonly size: string; readonly digest: string | undefined },
  worker: Worker,
): Promise<void> {
  const { disk, size } = request;
  await world.vms.exclusively(vmid, async () => {
    const vm = vmOf(world, vmid);
    if (request.digest !== undefined && request.digest !== world.vms.digest(vm)) {
      throw failure("checksum mismatch (file change by other user?)");
    }
    demandUnlocked(vm);
    const { drive, volume, now } = await diskOf({ world }, vm, disk);
    await worker.takes(0.5);
    const amount = parseDiskSize(size.replace(/^\+/, "")) ?? 0;
    const wanted = size.startsWith("+") ? now + amount : amount;
    if (wanted < now) throw failure("shrinking disks is not supported");
    if (wanted === now) return;
    worker.log("Image resized.");
    await growImage(volume, Math.ceil(wanted / 512) * 512);
    setDrive({ world }, vm, disk, { ...drive, size: formatDiskSize(wanted) });
  });
}

/** What a client wants moved. */
export interface MoveRequest {
  readonly disk: string;
  readonly storage: string;
  readonly format: string | undefined;
  /** Remove the old volume instead of keeping it as unused. */
  readonly delete: boolean;
}

/**
 * Check a move before anything happens.
 * @throws {ApiError}
 */
export async function checkMove(
  { world, caller }: Operation,
  vmid: number,
  request: MoveRequest,
): Promise<void> {
  const { disk, storage, format } = request;
  demand({ access: world.access, caller }, `/storage/${storage}`, ["Datastore.AllocateSpace"]);
  world.storages.get(storage);
  const vm = vmOf(world, vmid);
  demandUnlocked(vm);
  const { volume } = await diskOf({ world }, vm, disk);
  if (volume.storage.id === storage && (format === undefined || format === volume.format)) {
    throw failure("you can't move to the same storage with same format");
  }
}

/** Move a disk to another storage or format. */
export async function moveDisk(
  { world }: Operation,
  vmid: number,
  request: MoveRequest,
  worker: Worker,
): Promise<void> {
  await world.vms.exclusively(vmid, async () => {
    const vm = vmOf(world, vmid);
    demandUnlocked(vm);
    const { drive, volume, now } = await diskOf({ world }, vm, request.disk);
    worker.log(`create full clone of drive ${request.disk} (${volume.volid})`);
    await worker.takes(1);
    const format = formatOf(request.format ?? volume.format);
    const volid = await newVolume(world, request.storage, vmid, format);
    const target = world.storages.locate(volid);
    worker.log(formattingLine(target.path, format, now));
    const report = transferReporter(now, worker.log);
    try {
      const copy = { from: volume.path, hostPath: volume.hostPath, format: volume.format, target };
      await demandRoomFor(world, copy, worker.log);
      await cloneImage(volume, target, { signal: worker.signal });
    } catch (error) {
      await removeVolumes(world, [volid]);
      throw error;
    }
    report(1);
    const { format: _format, ...rest } = drive;
    setDrive({ world }, vm, request.disk, { ...rest, file: volid });
    if (request.delete) await removeVolume(volume);
    else addUnused({ world }, vmid, volume.volid);
  });
}

/** What `qm disk import` is told. */
export interface ImportRequest {
  readonly vmid: number;
  /** An image on the node, by absolute path, or a volume. */
  readonly source: string;
  readonly storage: string;
  /** raw when it is left out, as on a directory storage. */
  readonly format?: string;
  /** Attach it there instead of keeping it as unused. */
  readonly targetDisk?: string;
}

/**
 * Import an image as a disk of a VM. It has no route of its own: `qm importdisk` does it on the node.
 * @param log receives the lines that `qm` prints
 * @returns the option that holds the disk and its volume
 * @throws {ApiError}
 */
export async function importDisk(
  { world }: Pick<Operation, "world">,
  request: ImportRequest,
  log: Log,
): Promise<{ readonly key: string; readonly volid: string }> {
  const { vmid, source, storage, targetDisk } = request;
  demandUnlocked(vmOf(world, vmid));
  const path = parseVolumeId(source) === undefined ? source : world.storages.locate(source).path;
  const hostPath = regularFile(world, path);
  if (hostPath === undefined) throw failure(`${path}: non-existent or non-regular file`);
  world.storages.get(storage);
  log(`importing disk '${source}' to VM ${vmid} ...`);
  const image = await readSource(path, hostPath);
  const volid = await newVolume(world, storage, vmid, formatOf(request.format));
  try {
    await copyIn(world, image, volid, log);
  } catch (error) {
    await removeVolumes(world, [volid]);
    throw error;
  }
  const key = await world.vms.exclusively(vmid, () => {
    const vm = vmOf(world, vmid);
    if (targetDisk === undefined) return addUnused({ world }, vmid, volid);
    setDrive({ world }, vm, targetDisk, { file: volid });
    return targetDisk;
  });
  log(`${key}: successfully imported disk '${volid}'`);
  return { key, volid };
}

/** A disk of a VM with its volume and its size in bytes. */
async function diskOf(
  { world }: Pick<Operation, "world">,
  vm: Vm,
  disk: string,
): Promise<{ drive: Drive; volume: LocatedVolume; now: number }> {
  const text = withPending(vm)[disk];
  const drive = text === undefined ? undefined : parseDrive(disk, text);
  if (drive === undefined || !hasVolume(drive)) throw failure(`disk '${disk}' does not exist`);
  const volume = world.storages.locate(drive.file ?? "");
  const described = await world.storages.describe(volume.volid);
  if (described === undefined) throw failure(`volume '${volume.volid}' does not exist`);
  return { drive, volume, now: described.size };
}

function setDrive({ world }: Pick<Operation, "world">, vm: Vm, key: string, drive: Drive): void {
  const config: Draft = { ...vm.config, [key]: printDrive(key, drive) };
  world.vms.update(vm.vmid, { config });
}

function addUnused({ world }: Pick<Operation, "world">, vmid: number, volid: string): string {
  const config: Draft = { ...vmOf(world, vmid).config };
  const key = `unused${freeUnused(config)}`;
  world.vms.update(vmid, { config: { ...config, [key]: volid } });
  return key;
}
