import { type FileHandle, open } from "node:fs/promises";
import type { Readable } from "node:stream";
import { noSpace } from "./file-writer.ts";
import { complain, type Process, type Programs } from "./program.ts";
import { absolute, demandAccess, reasonOf } from "./shell.ts";

/** The programs that a resumable upload needs on the node, with the options it gives them. */
export const diskTools: Programs = { dd, truncate, flock };

/** Bytes that are written at once. */
const BLOCK = 1024 * 1024;

/**
 * `dd of=FILE seek=BYTES count=BYTES …`: reads just so many bytes of stdin and leaves the rest to the next program. What
 * has come before the other side went away is written, as on a real machine.
 */
async function dd(process: Process): Promise<number> {
  const options = Object.fromEntries(process.args.map((word) => word.split(/=(.*)/s, 2) as [string, string]));
  const { of: path, oflag, iflag, conv } = options;
  const understood = oflag === "seek_bytes" && iflag?.includes("count_bytes") && conv === "notrunc";
  if (path === undefined || !understood) {
    return await complain(process, "dd: the sandbox knows of=FILE with counts in bytes and conv=notrunc");
  }
  const room = process.files.roomFor(absolute(path)) ?? Number.POSITIVE_INFINITY;
  return await onFile(process, `dd: failed to open '${path}'`, path, async (file) => {
    let at = Number(options.seek ?? 0);
    let pending: Buffer[] = [];
    let held = 0;
    const flush = async (): Promise<void> => {
      if (held === 0) return;
      const fitting = Math.min(held, Math.max(0, room - at));
      await file.write(Buffer.concat(pending, held), 0, fitting, at);
      if (fitting < held) throw noSpace();
      at += held;
      pending = [];
      held = 0;
    };
    for await (const piece of exactly(process.stdin, Number(options.count))) {
      pending.push(piece);
      held += piece.length;
      if (held >= BLOCK) await flush();
    }
    await flush();
  });
}

/** `truncate -s BYTES FILE` */
async function truncate(process: Process): Promise<number> {
  const [flag, size, path = ""] = process.args;
  if (flag !== "-s") return await complain(process, "truncate: the sandbox knows -s SIZE FILE");
  return await onFile(process, `truncate: cannot open '${path}' for writing`, path, async (file) => {
    await file.truncate(Number(size));
  });
}

/** The lock files that are held, by machine. */
const held = new WeakMap<Process["files"], Set<string>>();

/** `flock -n -E CODE FILE PROGRAM …`: the lock lasts as long as the program. */
async function flock(process: Process): Promise<number> {
  const [nonblock, conflict, code, path = "", ...words] = process.args;
  if (nonblock !== "-n" || conflict !== "-E") {
    return await complain(process, "flock: the sandbox knows -n -E CODE FILE PROGRAM");
  }
  const host = process.files.toHost(absolute(path));
  const locks = held.get(process.files) ?? new Set();
  held.set(process.files, locks);
  if (locks.has(host)) return Number(code);
  const made = await onFile(process, `flock: cannot open lock file ${path}`, path, async () => {});
  if (made !== 0) return 66;
  locks.add(host);
  try {
    return await process.run(words);
  } finally {
    locks.delete(host);
  }
}

async function onFile(
  process: Process,
  complaint: string,
  path: string,
  action: (file: FileHandle) => Promise<void>,
): Promise<number> {
  try {
    const host = process.files.toHost(absolute(path));
    await demandAccess(host, process.user, 2);
    // Neither cut off nor appended to: as dd's notrunc has it.
    const file = await open(host, "r+").catch(async (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return await open(host, "w+", 0o600);
      throw error;
    });
    try {
      await action(file);
    } finally {
      await file.close();
    }
    return 0;
  } catch (error) {
    const reason = reasonOf(error);
    if (reason === undefined) throw error;
    return await complain(process, `${complaint}: ${reason}`);
  }
}

/** So many bytes of a stream, as they come; the rest stays in it. */
async function* exactly(from: Readable, count: number): AsyncGenerator<Buffer> {
  let left = count;
  if (left <= 0) return;
  try {
    for await (const chunk of from.iterator({ destroyOnReturn: false })) {
      const piece = chunk as Buffer;
      if (piece.length > left) from.unshift(piece.subarray(left));
      yield piece.subarray(0, left);
      left -= Math.min(left, piece.length);
      if (left === 0) return;
    }
  } catch (error) {
    // The client went away in the middle.
    if ((error as NodeJS.ErrnoException).code !== "ERR_STREAM_PREMATURE_CLOSE") throw error;
  }
}
