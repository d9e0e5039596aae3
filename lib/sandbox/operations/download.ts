import { createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import * as http from "node:http";
import * as https from "node:https";
import { pipeline } from "node:stream/promises";
import { failure } from "../calls.ts";
import type { LocatedVolume, Worker } from "../world/index.ts";
import { type Checksum, verify } from "./storage-file.ts";

/** What the node is to fetch by itself. */
export interface DownloadRequest {
  readonly url: string;
  readonly verifyCertificates: boolean;
  readonly checksum: Checksum | undefined;
}

const LOOPBACK = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/;

/**
 * Fetch a file onto a storage. The simulated node has no way out of the machine: what is not on the loopback fails as
 * on a node without a network.
 * @throws {ApiError} as the task's result, with wget's last line
 */
export async function download(
  target: LocatedVolume,
  { url, verifyCertificates, checksum }: DownloadRequest,
  worker: Worker,
): Promise<void> {
  worker.log(`downloading ${url} to ${target.path}`);
  const partial = `${target.hostPath}.tmp_dwnl`;
  try {
    await fetchFile(new URL(url), partial, verifyCertificates, worker.signal);
    if (checksum !== undefined) await verify(partial, checksum, worker);
    await rename(partial, target.hostPath);
  } finally {
    await rm(partial, { force: true });
  }
  worker.log(`download of '${url}' to '${target.path}' finished`);
}

async function fetchFile(
  url: URL,
  file: string,
  rejectUnauthorized: boolean,
  signal: AbortSignal,
): Promise<void> {
  if (!LOOPBACK.test(url.hostname)) throw failed(`wget: unable to resolve host address '${url.hostname}'`);
  const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
    const call =
      url.protocol === "https:"
        ? https.get(url, { rejectUnauthorized, signal }, resolve)
        : http.get(url, { signal }, resolve);
    call.once("error", reject);
  }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ECONNREFUSED") throw failed(error.message);
    throw failed(`Connecting to ${url.host}... failed: Connection refused.`);
  });
  if (response.statusCode !== 200) {
    response.destroy();
    throw failed(`ERROR ${response.statusCode}: ${response.statusMessage}.`);
  }
  await pipeline(response, createWriteStream(file), { signal });
}

function failed(lastLine: string): Error {
  return failure(`download failed: ${lastLine}`);
}
