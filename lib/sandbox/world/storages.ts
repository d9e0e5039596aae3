import { mkdirSync, readdirSync, statSync } from "node:fs";
import { readdir, stat, statfs } from "node:fs/promises";
import { join, posix } from "node:path";
import { isMissing } from "./atomic-file.ts";
import type { Interference } from "./interference.ts";
import type { NodeFiles } from "./node-files.ts";
import { inspectImage } from "./qcow2.ts";
import type { ContentType, Storage, Volume } from "./types.ts";
import {
  CONTENT_DIRECTORY,
  parseVolumeId,
  parseVolumeName,
  pathOfVolume,
  type VolumeName,
} from "./volume-id.ts";

/** Space of a storage in bytes. */
export interface StorageUsage {
  readonly total: number;
  readonly used: number;
  readonly avail: number;
}

/** A volume id whose storage exists and whose name the storage understands. */
export interface LocatedVolume extends VolumeName {
  readonly volid: string;
  readonly storage: Storage;
  /** On the node. */
  readonly path: string;
  /** On the host. */
  readonly hostPath: string;
}

/** A storage or volume that does not exist, worded as the node words it. */
export class StorageError extends Error {
  override readonly name = "StorageError";
}

/** The storages of the node and what lies on them. */
export class StorageStore {
  #storages: readonly Storage[];
  readonly #files: NodeFiles;
  readonly #interference: Interference;
  readonly #keep: (storages: readonly Storage[]) => void;

  /** @param keep writes down what the storages are from now on */
  constructor(
    storages: readonly Storage[],
    files: NodeFiles,
    interference: Interference,
    keep: (storages: readonly Storage[]) => void = () => {},
  ) {
    this.#storages = storages;
    this.#files = files;
    this.#interference = interference;
    this.#keep = keep;
    for (const storage of storages) this.#makeDirectories(storage);
  }

  /**
   * Let a storage take these kinds of content.
   * @throws {StorageError} for one that there is not, or a kind that a directory cannot hold
   */
  setContent(id: string, content: readonly ContentType[]): void {
    const storage = this.get(id);
    const strange = content.find((type) => !Object.hasOwn(CONTENT_DIRECTORY, type));
    if (strange !== undefined) throw new StorageError(`storage does not support content type '${strange}'`);
    const changed = { ...storage, content };
    this.#storages = this.#storages.map((each) => (each.id === id ? changed : each));
    this.#makeDirectories(changed);
    this.#keep(this.#storages);
  }

  list(): readonly Storage[] {
    return this.#storages;
  }

  find(id: string): Storage | undefined {
    return this.#storages.find((storage) => storage.id === id);
  }

  /** @throws {StorageError} "storage 'ID' does not exist" */
  get(id: string): Storage {
    const storage = this.find(id);
    if (storage === undefined) throw new StorageError(`storage '${id}' does not exist`);
    return storage;
  }

  /**
   * Bytes of a storage that is a file system of its own, so that it can be full; without a limit there is as much room
   * as on the host. Looked up each time: whoever tries what happens on a full storage changes it while the node runs.
   */
  limit({ id, size }: Storage): number | undefined {
    return this.#interference.sizeOf(id) ?? size;
  }

  /** Whether the node reaches it. */
  isActive({ id }: Storage): boolean {
    return !this.#interference.isOffline(id);
  }

  /** Space of the file system under the storage. */
  async usage(storage: Storage): Promise<StorageUsage> {
    if (!this.isActive(storage)) return { total: 0, used: 0, avail: 0 };
    const limit = this.limit(storage);
    if (limit !== undefined) {
      const used = await allocatedBelow(this.#files.toHost(storage.path));
      return { total: limit, used, avail: Math.max(0, limit - used) };
    }
    const { blocks, bfree, bavail, bsize } = await statfs(this.#files.toHost(storage.path));
    return { total: blocks * bsize, used: (blocks - bfree) * bsize, avail: bavail * bsize };
  }

  /**
   * Find out where a volume lies; it need not exist.
   * @throws {StorageError} for an unknown storage or a name that the storage does not understand
   */
  locate(volid: string): LocatedVolume {
    const id = parseVolumeId(volid);
    if (id === undefined) throw new StorageError(`unable to parse volume ID '${volid}'`);
    const storage = this.get(id.storage);
    this.#demandActive(storage);
    const name = parseVolumeName(id.name);
    if (name === undefined) throw new StorageError(`unable to parse directory volume name '${id.name}'`);
    const path = posix.join(storage.path, pathOfVolume(name));
    return { ...name, volid, storage, path, hostPath: this.#files.toHost(path) };
  }

  /** What a listing shows of a volume, or undefined when there is no such file. */
  async describe(volid: string): Promise<Volume | undefined> {
    const located = this.locate(volid);
    return await describeFile(located);
  }

  /**
   * The volumes of a storage, by volume id.
   * @param only limits the list to a content type or to one VM's images
   */
  async content(
    storage: Storage,
    only: { readonly content?: ContentType; readonly vmid?: number } = {},
  ): Promise<Volume[]> {
    this.#demandActive(storage);
    const types = storage.content.filter((type) => only.content === undefined || type === only.content);
    const names = types.flatMap((type) =>
      type === "images" ? this.#imageNames(storage, only.vmid) : this.#fileNames(storage, type, only.vmid),
    );
    const volumes = await Promise.all(
      names.map(async (name) => await this.describe(`${storage.id}:${name}`)),
    );
    return volumes.filter((volume) => volume !== undefined).sort((a, b) => (a.volid < b.volid ? -1 : 1));
  }

  /** Names of the images of one VM, or of all. */
  #imageNames(storage: Storage, vmid: number | undefined): string[] {
    const directory = this.#directory(storage, "images");
    const owners = vmid === undefined ? listNames(directory) : [String(vmid)];
    return owners.flatMap((owner) =>
      listNames(join(directory, owner))
        .map((file) => `${owner}/${file}`)
        .filter((name) => parseVolumeName(name) !== undefined),
    );
  }

  #fileNames(storage: Storage, content: ContentType, vmid: number | undefined): string[] {
    if (content === "rootdir" || vmid !== undefined) return [];
    const directory = this.#directory(storage, content);
    return listNames(directory)
      .filter((file) => statSync(join(directory, file), { throwIfNoEntry: false })?.isFile() === true)
      .map((file) => `${content}/${file}`)
      .filter((name) => parseVolumeName(name) !== undefined);
  }

  #makeDirectories(storage: Storage): void {
    for (const content of storage.content) mkdirSync(this.#directory(storage, content), { recursive: true });
  }

  #demandActive(storage: Storage): void {
    if (this.isActive(storage)) return;
    const why = `directory '${storage.path}' does not exist or is unreachable`;
    throw new StorageError(`unable to activate storage '${storage.id}' - ${why}`);
  }

  #directory(storage: Storage, content: ContentType): string {
    return this.#files.toHost(posix.join(storage.path, CONTENT_DIRECTORY[content]));
  }
}

/** The real parent of a linked clone stands in the image: its volume id carries the base, as on a real node. */
async function describeFile(located: LocatedVolume): Promise<Volume | undefined> {
  const { hostPath, content, vmid, format } = located;
  try {
    const { size: bytes, blocks, ctimeMs } = await stat(hostPath);
    const isImage = content === "images";
    const image = isImage ? await inspectImage(hostPath) : undefined;
    // A backing file of our own making is hidden: only that of a linked clone is a parent.
    const parent = image?.backingFile?.startsWith("../") ? image.backingFile : null;
    const base = parent === null ? "" : `${parent.slice(3)}/`;
    return {
      volid: `${located.storage.id}:${isImage ? `${base}${vmid}/${located.file}` : `${content}/${located.file}`}`,
      content,
      format,
      size: image?.virtualSize ?? bytes,
      used: blocks * 512,
      ctime: Math.floor(ctimeMs / 1000),
      vmid,
      parent,
    };
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Bytes that the files of a directory take; what clones share here would be theirs each on a real node. */
async function allocatedBelow(directory: string): Promise<number> {
  const entries = await readdir(directory, { withFileTypes: true, recursive: true });
  const sizes = entries
    .filter((entry) => entry.isFile())
    .map(async ({ parentPath, name }) => await allocated(join(parentPath, name)));
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

async function allocated(file: string): Promise<number> {
  try {
    return (await stat(file)).blocks * 512;
  } catch (error) {
    // Removed in the meantime.
    if (isMissing(error)) return 0;
    throw error;
  }
}

/** Names in a directory without the hidden ones; none when it does not exist. */
function listNames(directory: string): string[] {
  try {
    return readdirSync(directory).filter((name) => !name.startsWith("."));
  } catch (error) {
    if (isMissing(error) || (error as NodeJS.ErrnoException).code === "ENOTDIR") return [];
    throw error;
  }
}

/** The names of a directory, hidden ones too. */
export async function listAllNames(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}
