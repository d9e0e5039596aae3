import { link, mkdir, open, rename, rm, rmdir, truncate } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { createQcow2, growQcow2, inspectImage } from "./qcow2.ts";
import { convertToRaw } from "./qcow2-read.ts";
import { type CopyOptions, copySparse } from "./sparse-copy.ts";
import { type LocatedVolume, listAllNames, StorageError, type StorageStore } from "./storages.ts";
import type { Storage } from "./types.ts";

export type ImageFormat = "raw" | "qcow2";

/**
 * A free name for a disk of a VM.
 * @returns for example "vm-100-disk-0.qcow2"
 */
export async function freeDiskName(
  storages: StorageStore,
  storage: Storage,
  vmid: number,
  format: ImageFormat,
): Promise<string> {
  const probe = storages.locate(`${storage.id}:${vmid}/vm-${vmid}-disk-0.${format}`);
  const taken = await listAllNames(dirname(probe.hostPath));
  for (let number = 0; ; number += 1) {
    const stem = new RegExp(`^(?:vm|base)-${vmid}-disk-${number}\\.`);
    if (!taken.some((name) => stem.test(name))) return `vm-${vmid}-disk-${number}.${format}`;
  }
}

/**
 * Make an empty image.
 * @param size bytes
 * @throws {StorageError} when it exists
 */
export async function createImage(volume: LocatedVolume, size: number): Promise<void> {
  await prepare(volume);
  if (volume.format === "qcow2") return await createQcow2(volume.hostPath, size);
  const handle = await open(volume.hostPath, "wx", 0o640);
  try {
    await handle.truncate(size);
  } finally {
    await handle.close();
  }
}

/**
 * Copy an image file of the host into a new volume. qcow2 to qcow2 keeps the image as it is.
 */
export async function importImage(
  sourceFile: string,
  volume: LocatedVolume,
  options: CopyOptions = {},
): Promise<void> {
  await prepare(volume);
  const source = await inspectImage(sourceFile);
  if (source?.format === volume.format) await copySparse(sourceFile, volume.hostPath, options);
  else if (volume.format === "raw") await convertToRaw(sourceFile, volume.hostPath, options);
  else await overlay(volume, sourceFile, source?.virtualSize ?? 0, "raw", options);
}

/**
 * A full clone: independent of its source, which may be destroyed afterwards. A template's disks never change, so
 * that a clone can share their data: it becomes a small image over a hard link to the base.
 */
export async function cloneImage(
  source: LocatedVolume,
  target: LocatedVolume,
  options: CopyOptions = {},
): Promise<void> {
  const info = await inspectImage(source.hostPath);
  if (info === undefined) throw new StorageError(`volume '${source.volid}' does not exist`);
  if (target.format === "raw" || (info.backingFile === undefined && !source.isBase)) {
    return await importImage(source.hostPath, target, options);
  }
  await prepare(target);
  const below =
    info.backingFile === undefined ? undefined : resolve(dirname(source.hostPath), info.backingFile);
  const data = below ?? source.hostPath;
  const format = (await inspectImage(data))?.format ?? "raw";
  await overlay(target, data, info.virtualSize, format, options);
}

/** A linked clone: needs its base, which therefore cannot be destroyed. */
export async function linkImage(base: LocatedVolume, target: LocatedVolume): Promise<void> {
  const info = await inspectImage(base.hostPath);
  if (info === undefined) throw new StorageError(`volume '${base.volid}' does not exist`);
  await prepare(target);
  const file = `../${base.vmid}/${base.file}`;
  await createQcow2(target.hostPath, info.virtualSize, { file, format: info.format });
}

/**
 * Grow an image.
 * @param size bytes that a guest sees from now on
 */
export async function growImage(volume: LocatedVolume, size: number): Promise<void> {
  if (volume.format === "qcow2") await growQcow2(volume.hostPath, size);
  else await truncate(volume.hostPath, size);
}

/** Remove an image and the directory of its VM with the last one. */
export async function removeVolume(volume: LocatedVolume): Promise<void> {
  await rm(volume.hostPath, { force: true });
  if (volume.content !== "images") return;
  await rm(hiddenBase(volume), { force: true });
  await rmdir(dirname(volume.hostPath)).catch(() => {});
}

/**
 * Make an image the base of a template: it gets a name that says that it never changes.
 * @returns its new volume id
 */
export async function toBase(storages: StorageStore, volume: LocatedVolume): Promise<string> {
  const { storage, vmid } = volume;
  const file = volume.file.replace(/^vm-/, "base-");
  const target = storages.locate(`${storage.id}:${vmid}/${file}`);
  // Its hidden data keeps its name: the image refers to it, and both lie in one directory.
  await rename(volume.hostPath, target.hostPath);
  return target.volid;
}

/** The volumes that are linked to a base image. */
export async function linkedClones(storages: StorageStore, base: LocatedVolume): Promise<string[]> {
  const volumes = await storages.content(base.storage, { content: "images" });
  return volumes
    .filter((volume) => volume.parent === `../${base.vmid}/${base.file}`)
    .map((volume) => volume.volid);
}

async function prepare(volume: LocatedVolume): Promise<void> {
  await mkdir(dirname(volume.hostPath), { recursive: true });
  if ((await inspectImage(volume.hostPath)) !== undefined) {
    throw new StorageError(`disk image '${volume.path}' already exists`);
  }
}

/** An image over a hidden file of its own with somebody else's data, linked where possible. */
async function overlay(
  target: LocatedVolume,
  data: string,
  size: number,
  format: "qcow2" | "raw",
  options: CopyOptions,
): Promise<void> {
  const hidden = hiddenBase(target);
  await rm(hidden, { force: true });
  await link(data, hidden).catch(async () => await copySparse(data, hidden, options));
  await createQcow2(target.hostPath, size, { file: basename(hidden), format });
}

function hiddenBase(volume: LocatedVolume): string {
  return join(dirname(volume.hostPath), `.${volume.file.replace(/^base-/, "vm-")}.data`);
}
