import type { FileHandle } from "node:fs/promises";
import { Writable } from "node:stream";

/** What the system says when there is no room left. */
export function noSpace(): Error {
  return Object.assign(new Error("No space left on device"), { code: "ENOSPC" });
}

/**
 * A stream into an opened file, which it closes.
 * @param room how many bytes the file may come to hold; undefined for as many as the host has room for
 */
export function fileWriter(file: FileHandle, room: number | undefined): Writable {
  if (room === undefined) return file.createWriteStream();
  let left = room;
  return new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      const part = chunk.subarray(0, left);
      left -= part.length;
      file.write(part).then(() => done(part.length < chunk.length ? noSpace() : null), done);
    },
    destroy: (error, done) => {
      file.close().then(() => done(error), done);
    },
  });
}
