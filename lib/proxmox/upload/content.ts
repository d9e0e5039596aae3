import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { transferLine } from "../../progress.ts";

/** A stretch of a file that holds something else than zeros. */
export interface Extent {
  /** Bytes from the file's beginning. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
}

/** What is in a file, as far as a transfer is concerned. */
export interface Content {
  readonly sha256: string;
  /** Bytes, zeros among them. */
  readonly size: number;
  /** What has to be sent; between them there is nothing but zeros. */
  readonly extents: readonly Extent[];
}

/** How a long operation is followed and ended. */
export interface Following {
  /** Told how far it is, several times a second. */
  output(line: string): void;
  readonly signal: AbortSignal;
}

const CHUNK_BYTES = 1024 * 1024;
/** What is looked at as a whole; filesystems and qcow2 lay their data out in such pieces. */
const BLOCK_BYTES = 64 * 1024;
/** Fewer zeros are sent along: each extent costs the node a command. */
const GAP_BYTES = 1024 * 1024;
const ZEROS = Buffer.alloc(BLOCK_BYTES);
const PROGRESS_MS = 200;

/**
 * Read a file once: its checksum, and where its data lie.
 * @throws {Error} of the file system
 */
export async function readContent(file: string, { output, signal }: Following): Promise<Content> {
  const handle = await open(file, "r");
  const hash = createHash("sha256");
  const map = new ExtentMap();
  const started = performance.now();
  let said = started;
  let size = 0;
  try {
    const { size: total } = await handle.stat();
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    for (;;) {
      signal.throwIfAborted();
      const { bytesRead } = await handle.read(buffer, 0, CHUNK_BYTES);
      if (bytesRead === 0) break;
      const chunk = buffer.subarray(0, bytesRead);
      hash.update(chunk);
      map.add(size, chunk);
      size += bytesRead;
      if (performance.now() - said < PROGRESS_MS) continue;
      said = performance.now();
      output(`reading it: ${transferLine({ bytes: size, total, seconds: (said - started) / 1000 })}`);
    }
  } finally {
    await handle.close();
  }
  return { sha256: hash.digest("hex"), size, extents: map.extents };
}

/** Bytes that have to be sent of a file from some place on. */
export function bytesAfter(extents: readonly Extent[], from = 0): number {
  return extentsAfter(extents, from).reduce((sum, { length }) => sum + length, 0);
}

/** The extents, or what of them is left, from some place on. */
export function extentsAfter(extents: readonly Extent[], from: number): Extent[] {
  return extents.flatMap(({ offset, length }) => {
    const cut = Math.max(0, from - offset);
    return cut >= length ? [] : [{ offset: offset + cut, length: length - cut }];
  });
}

class ExtentMap {
  readonly extents: { offset: number; length: number }[] = [];

  add(offset: number, chunk: Buffer): void {
    for (let at = 0; at < chunk.length; at += BLOCK_BYTES) {
      const block = chunk.subarray(at, at + BLOCK_BYTES);
      if (!block.equals(block.length === BLOCK_BYTES ? ZEROS : ZEROS.subarray(0, block.length)))
        this.#append(offset + at, block.length);
    }
  }

  #append(offset: number, length: number): void {
    const last = this.extents.at(-1);
    if (last !== undefined && offset - (last.offset + last.length) < GAP_BYTES) {
      last.length = offset + length - last.offset;
    } else this.extents.push({ offset, length });
  }
}
