import { existsSync } from "node:fs";
import { basename, dirname } from "node:path";
import { messageOf, TaskError } from "../errors.ts";
import { fetchText } from "../http.ts";
import type { Architecture } from "../image-name.ts";
import { type Iso, isoFolder, latestIso, newestMinimal, parseChecksums } from "./publisher.ts";
import { withRetries } from "./retry.ts";

export interface IsoRequest {
  readonly major: string;
  readonly arch: Architecture;
  /** ALMA_ISO_URL: https address or path; the publisher's newest when left out. */
  readonly url?: string | undefined;
  /** ALMA_ISO_CHECKSUM, "sha256:…"; from the CHECKSUM file beside the ISO when left out. */
  readonly checksum?: string | undefined;
}

export interface IsoOptions {
  readonly signal: AbortSignal;
  readonly output: (line: string) => void;
  /** Milliseconds before the second attempt. */
  readonly firstPauseMs?: number;
  /** In place of the publisher's folder. */
  readonly folder?: string;
}

const ATTEMPTS = 4;

/**
 * Find out which ISO is to be used and what its checksum is.
 * @throws {TaskError} saying the address, and how to go on without it
 */
export async function resolveIso(request: IsoRequest, options: IsoOptions): Promise<Iso> {
  const { url, checksum, major, arch } = request;
  const sha256 = checksum?.replace(/^sha256:/, "");
  if (url !== undefined && sha256 !== undefined) return { source: url, fileName: fileNameOf(url), sha256 };
  const folder = options.folder ?? isoFolder(major, arch);
  const remote = url !== undefined && /^https?:/i.test(url);
  const listed = await checksums(
    remote ? `${dirname(url)}/CHECKSUM` : `${folder}/CHECKSUM`,
    request,
    options,
  );
  if (url !== undefined) {
    const fileName = fileNameOf(url);
    const found = listed.get(fileName);
    if (found !== undefined) return { source: url, fileName, sha256: found };
    throw new TaskError({
      what: `The publisher lists no checksum for ${fileName}`,
      why: `CHECKSUM has ${[...listed.keys()].join(", ") || "no sha256 at all"}`,
      todo: [
        "Say what it has to be, from a place you trust: ALMA_ISO_CHECKSUM=sha256:…",
        ...(existsSync(url) ? ["What the file is:", `$ sha256sum ${url}`] : []),
      ],
    });
  }
  const newest = newestMinimal(listed, major, arch);
  if (newest !== undefined) return { ...newest, source: `${folder}/${newest.fileName}` };
  throw new TaskError({
    what: `AlmaLinux publishes no Minimal ISO of version ${major} for ${arch}`,
    why: `${folder}/CHECKSUM lists ${[...listed.keys()].join(", ") || "nothing"}`,
    todo: ["Name one yourself: ALMA_ISO_URL=… and ALMA_ISO_CHECKSUM=sha256:…"],
  });
}

async function checksums(
  url: string,
  { major, arch, url: wanted }: IsoRequest,
  { signal, output, firstPauseMs = 1000 }: IsoOptions,
): Promise<Map<string, string>> {
  try {
    const text = await withRetries(async () => await fetchText(url, { signal, again: true }), {
      attempts: ATTEMPTS,
      firstPauseMs,
      signal,
      onRetry: output,
    });
    return parseChecksums(text);
  } catch (error) {
    signal.throwIfAborted();
    throw unreachable(url, wanted ?? latestIso(major, arch), error);
  }
}

/** What to do where the publisher cannot be reached. */
export function unreachable(url: string, iso: string, error: unknown): TaskError {
  return new TaskError({
    what: `${url} cannot be had`,
    why: messageOf(error),
    todo: [
      "Download the AlmaLinux Minimal ISO by hand, on a machine that can, with the CHECKSUM file beside it:",
      `$ curl -LO ${iso}`,
      "Then name the file and its sha256 in .env:",
      "ALMA_ISO_URL=/path/to/AlmaLinux-9-latest-x86_64-minimal.iso",
      "ALMA_ISO_CHECKSUM=sha256:…",
    ],
    left: ["Nothing was built"],
    cause: error,
  });
}

function fileNameOf(source: string): string {
  return basename(/^https?:/i.test(source) ? decodeURIComponent(new URL(source).pathname) : source);
}
