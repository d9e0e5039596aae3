import { inflateRawSync } from "node:zlib";

// The records of a zip archive that matter here, and where their fields lie.
// https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, 4.3.7, 4.3.12 and 4.3.16
const END = 0x06054b50;
const ENTRY = 0x02014b50;
const LOCAL = 0x04034b50;

/**
 * Take one file out of a zip archive; Node has the decompression, but nothing that reads the archive.
 * @throws {Error} when the file is not in it, or the archive is damaged
 */
export function fileInZip(archive: Buffer, name: string): Buffer {
  try {
    const found = entriesOf(archive).find((entry) => entry.name === name);
    if (found !== undefined) return contentOf(archive, found);
  } catch (error) {
    throw new Error("the archive is damaged", { cause: error });
  }
  throw new Error(`there is no ${name} in the archive`);
}

interface Entry {
  readonly name: string;
  readonly method: number;
  readonly compressed: number;
  readonly size: number;
  readonly offset: number;
}

/** The archive's table of contents; it stands at the end, behind the files. */
function entriesOf(archive: Buffer): Entry[] {
  let end = archive.length - 22;
  while (archive.readUInt32LE(end) !== END) end -= 1;
  const entries: Entry[] = [];
  let at = archive.readUInt32LE(end + 16);
  for (let count = archive.readUInt16LE(end + 10); count > 0; count -= 1) {
    if (archive.readUInt32LE(at) !== ENTRY) throw new Error(`no entry at ${at}`);
    const nameLength = archive.readUInt16LE(at + 28);
    entries.push({
      name: archive.toString("utf8", at + 46, at + 46 + nameLength),
      method: archive.readUInt16LE(at + 10),
      compressed: archive.readUInt32LE(at + 20),
      size: archive.readUInt32LE(at + 24),
      offset: archive.readUInt32LE(at + 42),
    });
    at += 46 + nameLength + archive.readUInt16LE(at + 30) + archive.readUInt16LE(at + 32);
  }
  return entries;
}

function contentOf(archive: Buffer, { method, compressed, size, offset }: Entry): Buffer {
  if (archive.readUInt32LE(offset) !== LOCAL) throw new Error(`no file at ${offset}`);
  const start = offset + 30 + archive.readUInt16LE(offset + 26) + archive.readUInt16LE(offset + 28);
  const data = archive.subarray(start, start + compressed);
  const content = method === 0 ? data : inflateRawSync(data);
  if (content.length !== size) throw new Error(`${content.length} bytes instead of ${size}`);
  return content;
}
