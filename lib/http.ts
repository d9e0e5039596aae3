import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { messageOf } from "./errors.ts";
import { formatBytes, transferLine } from "./progress.ts";

/** How long a server may take to answer at all; without a route to it people should not wait long. */
const CONNECT_TIMEOUT_MS = 8_000;
/** How long a transfer may stand still. */
const STALL_MS = 60_000;

/** Hosts that did not answer; nobody waits for them twice in one run. */
const unreachable = new Map<string, string>();

export interface FetchOptions {
  readonly signal?: AbortSignal | undefined;
  /** Ask a host again that did not answer before, for those who retry. */
  readonly again?: boolean;
  /** Told how far the transfer has come. */
  readonly onProgress?: ((line: string) => void) | undefined;
}

/**
 * The text at an address.
 * @throws {Error} saying why it could not be had
 */
export async function fetchText(url: string, options: FetchOptions = {}): Promise<string> {
  return await (await request(url, options)).text();
}

/**
 * Write what is at an address into a file, hashing on the way.
 * @returns its sha256
 * @throws {Error} saying why it could not be had; what came of it stays in the file
 */
export async function fetchToFile(url: string, file: string, options: FetchOptions = {}): Promise<string> {
  const response = await request(url, options);
  if (response.body === null) throw new Error(`${url} has no content`);
  const total = Number(response.headers.get("content-length")) || undefined;
  const hash = createHash("sha256");
  const started = performance.now();
  let bytes = 0;
  let said = 0;
  const stalled = new AbortController();
  const watch = setTimeout(() => stalled.abort(), STALL_MS);
  const body = Readable.fromWeb(response.body);
  body.on("data", (chunk: Buffer) => {
    watch.refresh();
    hash.update(chunk);
    bytes += chunk.length;
    if (performance.now() - said < 200) return;
    said = performance.now();
    options.onProgress?.(transferLine({ bytes, total, seconds: (said - started) / 1000 }));
  });
  const { signal } = options;
  try {
    await pipeline(body, createWriteStream(file), {
      signal: AbortSignal.any([stalled.signal, ...(signal ? [signal] : [])]),
    });
  } catch (error) {
    signal?.throwIfAborted();
    const why = stalled.signal.aborted ? `nothing came for ${STALL_MS / 1000} s` : reasonOf(error);
    throw new Error(`${url} broke off after ${formatBytes(bytes)}: ${why}`);
  } finally {
    clearTimeout(watch);
  }
  return hash.digest("hex");
}

async function request(url: string, { signal, again = false }: FetchOptions): Promise<Response> {
  const { host } = new URL(url);
  const before = unreachable.get(host);
  if (before !== undefined && !again) throw new Error(before);
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
    const message = `${host} cannot be reached (${timer.signal.aborted ? "no answer" : reasonOf(error)})`;
    unreachable.set(host, message);
    throw new Error(message);
  } finally {
    clearTimeout(timeout);
  }
}

class AnsweredError extends Error {}

/** fetch hides the reason behind "fetch failed" and "terminated". */
function reasonOf(error: unknown): string {
  return messageOf(error instanceof Error && error.cause !== undefined ? error.cause : error);
}
