import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { TaskError } from "../errors.ts";
import { quoteWords } from "./quote.ts";

/** What a qcow2 image says of itself. */
export interface Qcow2 {
  readonly version: 2 | 3;
  /** Bytes that a guest sees. */
  readonly virtualSize: number;
  /** Bytes of the file. */
  readonly fileSize: number;
  readonly clusterSize: number;
}

const MAGIC = 0x514649fb;
const HEADER_BYTES = 104;
/** The incompatible features; a reader that does not know one cannot read the image. */
const DIRTY = 1n;
const CORRUPT = 2n;
const EXTERNAL_DATA = 4n;
const COMPRESSION_TYPE = 8n;
const EXTENDED_L2 = 16n;
const KNOWN_FEATURES = DIRTY | CORRUPT | EXTERNAL_DATA | COMPRESSION_TYPE | EXTENDED_L2;
/** QEMU takes no larger table. */
const L1_BYTES = 32 * 1024 ** 2;
const COMPRESSED = 1n << 62n;
const OFFSET_MASK = 0x00fffffffffffe00n;

/**
 * Check that a file is a complete, self-contained qcow2 image. Its tables are walked, its data are not read.
 * @see https://www.qemu.org/docs/master/interop/qcow2.html
 * @throws {TaskError} saying what is wrong with it
 */
export async function inspectQcow2(file: string): Promise<Qcow2> {
  const refuse = (why: string, todo: readonly string[]): TaskError =>
    new TaskError({ what: `${file} cannot be used as an image`, why, todo });
  const convert = `$ ${quoteWords(["qemu-img", "convert", "-O", "qcow2", file, "image.qcow2"])}`;
  const repair = `$ ${quoteWords(["qemu-img", "check", "-r", "all", file])}`;
  const another = ["Name the qcow2 file of an image, or build one:", "$ npm run build-image"];
  const damaged = [
    "It is damaged: copy or download it again, or build another one:",
    "$ npm run build-image",
  ];
  let handle: FileHandle;
  try {
    // A named pipe must not make us wait for its writer.
    handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw code === "ENOENT"
      ? refuse("There is no such file", [
          "Name an existing file, or build an image:",
          "$ npm run build-image",
        ])
      : refuse(`It cannot be read (${code})`, [
          "See whose it is, and who may read it:",
          `$ ${quoteWords(["ls", "-l", file])}`,
        ]);
  }
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) throw refuse("It is not a regular file", another);
    const header = Buffer.alloc(HEADER_BYTES);
    const { bytesRead } = await handle.read(header, 0, HEADER_BYTES, 0);
    if (bytesRead < 72 || header.readUInt32BE(0) !== MAGIC) {
      throw refuse("It is not in qcow2 format", ["Convert it first:", convert]);
    }
    const version = header.readUInt32BE(4);
    if (version !== 2 && version !== 3)
      throw refuse(`It has qcow2 version ${version}; 2 and 3 are known`, [
        "Convert it first, with the QEMU that made it:",
        convert,
      ]);
    const clusterBits = header.readUInt32BE(20);
    if (clusterBits < 9 || clusterBits > 21)
      throw refuse(`Its cluster size (2^${clusterBits} bytes) is not possible`, damaged);
    const virtualSize = Number(header.readBigUInt64BE(24));
    if (virtualSize === 0 || virtualSize % 512 !== 0)
      throw refuse(`Its virtual size (${virtualSize} bytes) is not a disk's`, damaged);
    if (header.readBigUInt64BE(8) !== 0n) {
      throw refuse("It has a backing file, which would be missing on the node", [
        "Make it self-contained first:",
        convert,
      ]);
    }
    if (header.readUInt32BE(32) !== 0)
      throw refuse("It is encrypted", [
        "Decrypt it first: qemu-img convert with the image's own secret",
        ...another,
      ]);
    const features = version === 3 ? header.readBigUInt64BE(72) : 0n;
    if (features & EXTERNAL_DATA)
      throw refuse("Its data are in another file", ["Bring both into one file first:", convert]);
    if (features & CORRUPT) throw refuse("It is marked as corrupt", ["Repair it first:", repair]);
    if (features & DIRTY) throw refuse("It was not closed properly", ["Repair it first:", repair]);
    if (features & ~KNOWN_FEATURES)
      throw refuse("It uses a feature of qcow2 that is not known here", ["Convert it first:", convert]);
    const clusterSize = 2 ** clusterBits;
    const l1Bytes = header.readUInt32BE(36) * 8;
    const extended = (features & EXTENDED_L2) !== 0n;
    const mappedByL2 = (clusterSize / (extended ? 16 : 8)) * clusterSize;
    if (l1Bytes > L1_BYTES || (l1Bytes / 8) * mappedByL2 < virtualSize)
      throw refuse("Its table of clusters does not fit its virtual size", damaged);
    const end = await lastByte(handle, header, { clusterBits, extended, size: stats.size });
    if (end > stats.size) {
      throw refuse(`It is cut off: it refers to byte ${end} of ${stats.size}`, ["Copy or download it again"]);
    }
    return { version, virtualSize, fileSize: stats.size, clusterSize };
  } finally {
    await handle.close();
  }
}

/** How an image is laid out, and how long its file is. */
interface Layout {
  readonly clusterBits: number;
  /** Each entry of a second table is followed by a bitmap. */
  readonly extended: boolean;
  readonly size: number;
}

/** The end of what the image's tables refer to; of the file, when only the last cluster is not written in full. */
async function lastByte(handle: FileHandle, header: Buffer, layout: Layout): Promise<number> {
  const { clusterBits, extended, size } = layout;
  const clusterSize = 2 ** clusterBits;
  const l1Entries = header.readUInt32BE(36);
  const l1Offset = Number(header.readBigUInt64BE(40));
  const refcountOffset = Number(header.readBigUInt64BE(48));
  const refcountClusters = header.readUInt32BE(56);
  let tables = Math.max(l1Offset + l1Entries * 8, refcountOffset + refcountClusters * clusterSize);
  if (tables > size) return tables;
  let data = 0;
  for (const l2 of await tableAt(handle, l1Offset, l1Entries)) {
    const offset = Number(l2 & OFFSET_MASK);
    if (offset === 0) continue;
    tables = Math.max(tables, offset + clusterSize);
    if (tables > size) return tables;
    const entries = await tableAt(handle, offset, clusterSize / 8);
    for (let at = 0; at < entries.length; at += extended ? 2 : 1)
      data = Math.max(data, endOf(entries[at] ?? 0n, clusterBits));
  }
  // QEMU need not write the last cluster in full.
  return Math.max(tables, data - size < clusterSize ? Math.min(data, size) : data);
}

/** Where the data of a second table's entry end. */
function endOf(entry: bigint, clusterBits: number): number {
  if ((entry & COMPRESSED) === 0n) {
    const offset = Number(entry & OFFSET_MASK);
    return offset === 0 ? 0 : offset + 2 ** clusterBits;
  }
  // Where they begin, to the byte, and how many further sectors they reach into.
  const bits = BigInt(62 - (clusterBits - 8));
  const offset = entry & ((1n << bits) - 1n);
  const sectors = (entry & (COMPRESSED - 1n)) >> bits;
  return Number((offset / 512n + sectors + 1n) * 512n);
}

async function tableAt(handle: FileHandle, offset: number, entries: number): Promise<BigUint64Array> {
  const bytes = Buffer.alloc(entries * 8);
  await handle.read(bytes, 0, bytes.length, offset);
  bytes.swap64();
  return new BigUint64Array(bytes.buffer, bytes.byteOffset, entries);
}

/**
 * Write an empty, valid qcow2 image: for demonstrations and tests.
 * @param virtualSize bytes, a multiple of 512
 */
export async function createSparseQcow2(file: string, virtualSize: number): Promise<void> {
  const clusterSize = 65_536;
  const l1Entries = Math.max(1, Math.ceil(virtualSize / ((clusterSize / 8) * clusterSize)));
  const l1Clusters = Math.ceil((l1Entries * 8) / clusterSize);
  // Header, refcount table, refcount block, L1 table.
  const clusters = 3 + l1Clusters;
  const image = Buffer.alloc(clusters * clusterSize);
  image.writeUInt32BE(MAGIC, 0);
  image.writeUInt32BE(3, 4);
  image.writeUInt32BE(16, 20);
  image.writeBigUInt64BE(BigInt(virtualSize), 24);
  image.writeUInt32BE(l1Entries, 36);
  image.writeBigUInt64BE(BigInt(3 * clusterSize), 40);
  image.writeBigUInt64BE(BigInt(clusterSize), 48);
  image.writeUInt32BE(1, 56);
  image.writeUInt32BE(4, 96);
  image.writeUInt32BE(HEADER_BYTES, 100);
  image.writeBigUInt64BE(BigInt(2 * clusterSize), clusterSize);
  for (let cluster = 0; cluster < clusters; cluster += 1)
    image.writeUInt16BE(1, 2 * clusterSize + cluster * 2);
  const handle = await open(file, "w");
  try {
    await handle.writeFile(image);
  } finally {
    await handle.close();
  }
}
