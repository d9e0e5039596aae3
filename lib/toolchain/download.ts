import { chmod, lstat, mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fetchText, fetchToFile } from "../http.ts";
import { run } from "../process.ts";
import { addRecord, readRecords } from "./records.ts";
import type { Release } from "./tool.ts";
import { fileInZip } from "./zip.ts";

export interface DownloadOptions {
  /** An empty folder to work in. */
  readonly work: string;
  /** Remembers what was downloaded before. */
  readonly checksumsFile: string;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((line: string) => void) | undefined;
}

/**
 * Download a release and verify it: against the known checksum, or the publisher's checksum file, and against what the
 * same address gave before.
 * @returns the program (or file), executable
 * @throws {Error} saying why it could not be had
 */
export async function download(release: Release, options: DownloadOptions): Promise<string> {
  const expected = await expectedSha256(release, options);
  const file = join(options.work, basename(new URL(release.url).pathname));
  const actual = await fetchToFile(release.url, file, options);
  if (actual !== expected) {
    throw new Error(`the checksum of ${release.url} is ${actual}, its publisher says ${expected}`);
  }
  await addRecord(options.checksumsFile, release.url, actual);
  const program = release.member === undefined ? file : await unpack(release.member, file, options);
  await chmod(program, 0o755);
  return program;
}

/** Take one file out of an archive; whatever else is in it stays there. */
async function unpack(member: string, archive: string, options: DownloadOptions): Promise<string> {
  const folder = join(options.work, "unpacked");
  await mkdir(folder);
  if (archive.endsWith(".zip")) {
    const program = join(folder, basename(member));
    await writeFile(program, fileInZip(await readFile(archive), member));
    return program;
  }
  // Started by root, tar would hand the file to whoever packed it.
  await run("tar", ["-xzf", archive, "-C", folder, "--no-same-owner", member], { ...signalOf(options) });
  const file = join(folder, member);
  // A link would lead out of the archive.
  if (!(await lstat(file)).isFile()) throw new Error(`${member} in ${basename(archive)} is not a file`);
  return file;
}

async function expectedSha256({ checksum, url }: Release, options: DownloadOptions): Promise<string> {
  if ("sha256" in checksum) return checksum.sha256;
  const text = await fetchText(checksum.url, options);
  const found = checksumIn(text, basename(decodeURIComponent(new URL(url).pathname)));
  if (found === undefined) throw new Error(`${checksum.url} has no checksum for ${url}`);
  const before = readRecords(options.checksumsFile)[url];
  if (before !== undefined && before !== found) {
    throw new Error(
      `${checksum.url} says ${found} for a file that had ${before} before; a release must not change`,
    );
  }
  return found;
}

/**
 * Find a file's sha256 in a publisher's checksum file: one of `HASH  NAME` lines, or a single hash.
 */
function checksumIn(text: string, name: string): string | undefined {
  const lines = text.trim().split(/\r?\n/);
  for (const line of lines) {
    const [hash, file] = line.trim().split(/\s+\*?/);
    if (file === name && hash !== undefined && isSha256(hash)) return hash.toLowerCase();
  }
  const [only] = lines;
  return lines.length === 1 && only !== undefined && isSha256(only.trim())
    ? only.trim().toLowerCase()
    : undefined;
}

function isSha256(text: string): boolean {
  return /^[0-9a-f]{64}$/i.test(text);
}

function signalOf({ signal }: DownloadOptions): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}
