import { type FileHandle, open } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { inflateRawSync } from "node:zlib";
import { ImageError, inspectImage } from "./qcow2.ts";
import { type CopyOptions, copySparse } from "./sparse-copy.ts";

const OFFSET_MASK = 0x00ff_ffff_ffff_fe00n;
const COMPRESSED = 1n << 62n;
const ALL_ZEROS = 1n;
const SECTOR = 512;

/**
 * Write what a guest would see of an image into a raw file, holes left as holes. The images below it come first, so
 * that each cluster shows its newest data.
 * @param target must not exist
 * @throws {ImageError} for features that qemu-img of the node's version would need another library for
 */
export async function convertToRaw(source: string, target: string, options: CopyOptions = {}): Promise<void> {
  const info = await inspectImage(source);
  if (info === undefined) throw new ImageError(`Could not open '${source}': No such file or directory`);
  if (info.format === "raw") return await copySparse(source, target, options);
  if (info.backingFile === undefined) await (await open(target, "wx", 0o640)).close();
  else await convertToRaw(resolve(dirname(source), info.backingFile), target, options);

  const input = await open(source, "r");
  const output = await open(target, "r+");
  try {
    await output.truncate(info.virtualSize);
    await copyClusters(input, output, info.virtualSize, options);
  } finally {
    await input.close();
    await output.close();
  }
}

async function copyClusters(
  input: FileHandle,
  output: FileHandle,
  size: number,
  { signal, onProgress }: CopyOptions,
): Promise<void> {
  const header = Buffer.alloc(104);
  await input.read(header, 0, header.length, 0);
  if (header.readUInt32BE(4) === 3 && (header.readBigUInt64BE(72) & ~3n) !== 0n) {
    throw new ImageError("Unsupported qcow2 feature(s)");
  }
  const clusterBits = header.readUInt32BE(20);
  const cluster = 2 ** clusterBits;
  const l1 = await readEntries(input, Number(header.readBigUInt64BE(40)), header.readUInt32BE(36));
  for (const [l1Index, l1Entry] of l1.entries()) {
    signal?.throwIfAborted();
    const base = l1Index * (cluster / 8) * cluster;
    onProgress?.(Math.min(base, size), size);
    if ((l1Entry & OFFSET_MASK) === 0n) continue;
    const l2 = await readEntries(input, Number(l1Entry & OFFSET_MASK), cluster / 8);
    for (const [index, entry] of l2.entries()) {
      const at = base + index * cluster;
      if (entry === 0n || at >= size) continue;
      const data = await readCluster(input, entry, clusterBits);
      await output.write(data, 0, Math.min(cluster, size - at), at);
    }
  }
  onProgress?.(size, size);
}

async function readCluster(input: FileHandle, entry: bigint, clusterBits: number): Promise<Buffer> {
  const cluster = 2 ** clusterBits;
  const data = Buffer.alloc(cluster);
  if ((entry & COMPRESSED) !== 0n) {
    const offsetBits = BigInt(62 - (clusterBits - 8));
    const offset = Number(entry & ((1n << offsetBits) - 1n));
    const sectors = Number((entry & (COMPRESSED - 1n)) >> offsetBits) + 1;
    const packed = Buffer.alloc(sectors * SECTOR - (offset % SECTOR));
    const { bytesRead } = await input.read(packed, 0, packed.length, offset);
    return inflateRawSync(packed.subarray(0, bytesRead), { finishFlush: 2, maxOutputLength: cluster });
  }
  if ((entry & ALL_ZEROS) === 0n) await input.read(data, 0, cluster, Number(entry & OFFSET_MASK));
  return data;
}

async function readEntries(input: FileHandle, offset: number, count: number): Promise<bigint[]> {
  const table = Buffer.alloc(count * 8);
  await input.read(table, 0, table.length, offset);
  return Array.from({ length: count }, (_, index) => table.readBigUInt64BE(index * 8));
}
