import { constants } from "node:fs";
import { copyFile, type FileHandle, open, rm } from "node:fs/promises";

const CHUNK = 4 * 1024 * 1024;
const BLOCK = 64 * 1024;
const ZEROS = Buffer.alloc(BLOCK);

export interface CopyOptions {
  readonly signal?: AbortSignal;
  /** Called with the bytes done after each piece. */
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Copy a file: as a reflink where the file system has them, otherwise piece by piece with holes left as holes.
 * A copy that fails leaves nothing behind.
 * @throws when the target exists
 */
export async function copySparse(source: string, target: string, options: CopyOptions = {}): Promise<void> {
  if (await reflinked(source, target)) return;
  const input = await open(source, "r");
  try {
    const output = await open(target, "wx", 0o640);
    try {
      await copyPieces(input, output, options);
    } catch (error) {
      await rm(target, { force: true });
      throw error;
    } finally {
      await output.close();
    }
  } finally {
    await input.close();
  }
}

async function reflinked(source: string, target: string): Promise<boolean> {
  try {
    await copyFile(source, target, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST" || code === "ENOENT") throw error;
    return false;
  }
}

async function copyPieces(input: FileHandle, output: FileHandle, options: CopyOptions): Promise<void> {
  const { size, blocks } = await input.stat();
  await output.truncate(size);
  if (blocks === 0) return;
  const buffer = Buffer.allocUnsafe(CHUNK);
  for (let offset = 0; offset < size; ) {
    options.signal?.throwIfAborted();
    const { bytesRead } = await input.read(buffer, 0, CHUNK, offset);
    if (bytesRead === 0) break;
    await writeData(output, buffer.subarray(0, bytesRead), offset);
    offset += bytesRead;
    options.onProgress?.(offset, size);
  }
}

/** Write the runs of blocks that hold anything but zeros. */
async function writeData(output: FileHandle, data: Buffer, offset: number): Promise<void> {
  let start = -1;
  for (let at = 0; at <= data.length; at += BLOCK) {
    const block = data.subarray(at, at + BLOCK);
    const empty = block.length === 0 || block.equals(ZEROS.subarray(0, block.length));
    if (!empty && start < 0) start = at;
    if (empty && start >= 0) {
      await output.write(data, start, at - start, offset + start);
      start = -1;
    }
  }
  if (start >= 0) await output.write(data, start, data.length - start, offset + start);
}
