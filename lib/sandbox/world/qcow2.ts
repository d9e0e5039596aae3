import { type FileHandle, open } from "node:fs/promises";
import { isMissing } from "./atomic-file.ts";

/** What the node needs to know of a disk image. */
export interface ImageInfo {
  readonly format: "qcow2" | "raw";
  /** Bytes that a guest sees. */
  readonly virtualSize: number;
  /** As written in the image; relative to its directory. */
  readonly backingFile: string | undefined;
}

/** A file begins like a qcow2 image but is none. The message is what qemu-img says. */
export class ImageError extends Error {
  override readonly name = "ImageError";
}

const MAGIC = 0x514649fb;
const HEADER_V2 = 72;
const HEADER_V3 = 104;
const CLUSTER_BITS = 16;
const CLUSTER = 2 ** CLUSTER_BITS;
const ENTRY = 8;
/** Header extension: format of the backing file. */
const BACKING_FORMAT = 0xe2792aca;

/**
 * Look at an image file.
 * @throws {ImageError} for a damaged qcow2 header
 */
export async function inspectImage(file: string): Promise<ImageInfo | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(file, "r");
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  try {
    const header = Buffer.alloc(HEADER_V3);
    const { bytesRead } = await handle.read(header, 0, HEADER_V3, 0);
    if (bytesRead < HEADER_V2 || header.readUInt32BE(0) !== MAGIC) {
      const { size } = await handle.stat();
      return { format: "raw", virtualSize: Math.ceil(size / 512) * 512, backingFile: undefined };
    }
    checkHeader(header);
    const nameLength = header.readUInt32BE(16);
    const name = Buffer.alloc(Math.min(nameLength, 1023));
    if (nameLength > 0) await handle.read(name, 0, name.length, Number(header.readBigUInt64BE(8)));
    return {
      format: "qcow2",
      virtualSize: Number(header.readBigUInt64BE(24)),
      backingFile: nameLength > 0 ? name.toString("utf8") : undefined,
    };
  } finally {
    await handle.close();
  }
}

function checkHeader(header: Buffer): void {
  const version = header.readUInt32BE(4);
  if (version !== 2 && version !== 3) throw new ImageError(`Unsupported qcow2 version ${version}`);
  const clusterBits = header.readUInt32BE(20);
  if (clusterBits < 9 || clusterBits > 21) throw new ImageError(`Unsupported cluster size: 2^${clusterBits}`);
}

/**
 * Make an empty qcow2 image (version 3, 64 KiB clusters): a valid one that takes no more space than its tables.
 * @param size bytes that a guest sees
 * @param backing image that shows through where nothing was written, relative to the new file's directory
 */
export async function createQcow2(
  file: string,
  size: number,
  backing?: { readonly file: string; readonly format: "qcow2" | "raw" },
): Promise<void> {
  const l1Entries = l1EntriesFor(size);
  const l1Clusters = Math.max(1, Math.ceil((l1Entries * ENTRY) / CLUSTER));
  // Clusters in order: header, refcount table, refcount block, L1 table.
  const used = 3 + l1Clusters;
  const image = Buffer.alloc(used * CLUSTER);
  image.writeUInt32BE(MAGIC, 0);
  image.writeUInt32BE(3, 4);
  image.writeUInt32BE(CLUSTER_BITS, 20);
  image.writeBigUInt64BE(BigInt(size), 24);
  image.writeUInt32BE(l1Entries, 36);
  image.writeBigUInt64BE(BigInt(3 * CLUSTER), 40);
  image.writeBigUInt64BE(BigInt(CLUSTER), 48);
  image.writeUInt32BE(1, 56);
  image.writeUInt32BE(4, 96); // refcounts of 2^4 bits
  image.writeUInt32BE(HEADER_V3, 100);
  if (backing) writeBacking(image, backing);
  image.writeBigUInt64BE(BigInt(2 * CLUSTER), CLUSTER);
  for (let cluster = 0; cluster < used; cluster += 1) image.writeUInt16BE(1, 2 * CLUSTER + cluster * 2);

  const handle = await open(file, "wx", 0o640);
  try {
    await handle.write(image, 0, image.length, 0);
  } finally {
    await handle.close();
  }
}

function writeBacking(image: Buffer, backing: { file: string; format: string }): void {
  image.writeUInt32BE(BACKING_FORMAT, HEADER_V3);
  image.writeUInt32BE(backing.format.length, HEADER_V3 + 4);
  image.write(backing.format, HEADER_V3 + 8);
  const nameOffset = HEADER_V3 + 8 + 8 + 8; // after the format, padded to 8, and the end mark
  image.writeBigUInt64BE(BigInt(nameOffset), 8);
  image.writeUInt32BE(Buffer.byteLength(backing.file), 16);
  image.write(backing.file, nameOffset);
}

/**
 * Grow a qcow2 image: its size and the length of its L1 table. The table has room up to the end of its cluster,
 * which is enough for terabytes.
 * @throws {ImageError} when the table would have to be moved
 */
export async function growQcow2(file: string, size: number): Promise<void> {
  const handle = await open(file, "r+");
  try {
    const header = Buffer.alloc(HEADER_V2);
    await handle.read(header, 0, HEADER_V2, 0);
    const cluster = 2 ** header.readUInt32BE(20);
    const entries = header.readUInt32BE(36);
    const capacity = Math.max(1, Math.ceil((entries * ENTRY) / cluster)) * (cluster / ENTRY);
    const needed = l1EntriesFor(size, cluster);
    if (needed > capacity) throw new ImageError("The image size is too large");
    header.writeBigUInt64BE(BigInt(size), 24);
    header.writeUInt32BE(Math.max(entries, needed), 36);
    await handle.write(header, 24, 16, 24);
  } finally {
    await handle.close();
  }
}

/** An L1 entry leads to a cluster full of entries that lead to a cluster of data each. */
function l1EntriesFor(size: number, cluster = CLUSTER): number {
  return Math.max(1, Math.ceil(size / ((cluster / ENTRY) * cluster)));
}
