import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { chmod, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { messageOf } from "../errors.ts";
import { run } from "../process.ts";
import { transferLine } from "../progress.ts";
import type { Release } from "./tool.ts";

/** How long a server may take to answer at all; without a route to it people should not wait long. */
const CONNECT_TIMEOUT_MS = 8_000;

/** Hosts that did not answer; nobody waits for them twice in one run. */
const unreachable = new Map<string, string>();

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
  await remember(options.checksumsFile, release.url, actual);
  if (release.member === undefined) {
    await chmod(file, 0o755);
    return file;
  }
  const unpacked = join(options.work, "unpacked");
  await mkdir(unpacked);
  await run("tar", ["-xzf", file, "-C", unpacked, release.member], { ...signalOf(options) });
  return join(unpacked, release.member);
}

async function expectedSha256({ checksum, url }: Release, options: DownloadOptions): Promise<string> {
  if ("sha256" in checksum) return checksum.sha256;
  const text = await (await request(checksum.url, options)).text();
  const found = checksumIn(text, basename(decodeURIComponent(new URL(url).pathname)));
  if (found === undefined) throw new Error(`${checksum.url} has no checksum for ${url}`);
  const before = (await remembered(options.checksumsFile))[url];
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
export function checksumIn(text: string, name: string): string | undefined {
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

async function fetchToFile(url: string, file: string, options: DownloadOptions): Promise<string> {
  const response = await request(url, options);
  if (response.body === null) throw new Error(`${url} has no content`);
  const total = Number(response.headers.get("content-length")) || undefined;
  const hash = createHash("sha256");
  const started = performance.now();
  let bytes = 0;
  let said = 0;
  const body = Readable.fromWeb(response.body);
  body.on("data", (chunk: Buffer) => {
    hash.update(chunk);
    bytes += chunk.length;
    if (performance.now() - said < 200) return;
    said = performance.now();
    options.onProgress?.(transferLine({ bytes, total, seconds: (said - started) / 1000 }));
  });
  await pipeline(body, createWriteStream(file), { ...signalOf(options) });
  return hash.digest("hex");
}

async function request(url: string, { signal }: DownloadOptions): Promise<Response> {
  const { host } = new URL(url);
  const before = unreachable.get(host);
  if (before !== undefined) throw new Error(before);
  const timer = new AbortController();
  const timeout = setTimeout(() => timer.abort(), CONNECT_TIMEOUT_MS);
  try {
    const response = await fetch(url, {
      signal: AbortSignal.any([timer.signal, ...(signal ? [signal] : [])]),
    });
    if (!response.ok) throw new AnsweredError(`${url} answered ${response.status} ${response.statusText}`);
    return response;
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof AnsweredError) throw error;
    const why =
      error instanceof Error && error.cause !== undefined ? messageOf(error.cause) : messageOf(error);
    const message = `${host} cannot be reached (${timer.signal.aborted ? "no answer" : why})`;
    unreachable.set(host, message);
    throw new Error(message);
  } finally {
    clearTimeout(timeout);
  }
}

class AnsweredError extends Error {}

async function remembered(file: string): Promise<Record<string, string>> {
  try {
    return JSON.parse(await readFile(file, "utf8")) as Record<string, string>;
  } catch {
    return {};
  }
}

async function remember(file: string, url: string, sha256: string): Promise<void> {
  const all = { ...(await remembered(file)), [url]: sha256 };
  const draft = `${file}.${process.pid}`;
  await writeFile(draft, `${JSON.stringify(all, undefined, 2)}\n`);
  await rename(draft, file);
}

function signalOf({ signal }: DownloadOptions): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}
