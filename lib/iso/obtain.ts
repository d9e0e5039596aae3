import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { mkdir, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { TaskError } from "../errors.ts";
import { fetchToFile } from "../http.ts";
import { transferLine } from "../progress.ts";
import type { Iso } from "./publisher.ts";
import { type IsoOptions, unreachable } from "./resolve.ts";
import { withRetries } from "./retry.ts";

const ATTEMPTS = 4;
const PROGRESS_MS = 200;

/**
 * Have an ISO on this machine, verified: the file itself, the one that was downloaded before, or a new download.
 * @param cacheDir where downloads are kept
 * @returns its path
 * @throws {TaskError} with both checksums when it is another file than it has to be; that file is kept aside
 */
export async function obtainIso(iso: Iso, cacheDir: string, options: IsoOptions): Promise<string> {
  const { source, fileName, sha256 } = iso;
  const { signal, output, firstPauseMs = 2000 } = options;
  if (!/^https?:/i.test(source)) {
    const actual = await hashOf(source, options);
    if (actual === sha256) return source;
    throw mismatch(source, sha256, actual, `${source} is left as it is`);
  }
  await mkdir(cacheDir, { recursive: true });
  // The checksum is in the name: "latest" is another file every few months.
  const kept = join(cacheDir, `${sha256.slice(0, 12)}-${fileName}`);
  if (existsSync(kept) && (await hashOf(kept, options)) === sha256) return kept;
  const draft = `${kept}.${process.pid}.part`;
  let actual: string;
  try {
    actual = await withRetries(
      async () => await fetchToFile(source, draft, { signal, onProgress: output, again: true }),
      {
        attempts: ATTEMPTS,
        firstPauseMs,
        signal,
        onRetry: output,
      },
    );
  } catch (error) {
    signal.throwIfAborted();
    throw unreachable(source, source, error);
  }
  if (actual !== sha256) {
    const aside = `${kept}.rejected`;
    await rename(draft, aside);
    throw mismatch(source, sha256, actual, `What came is kept in ${aside}`);
  }
  await rename(draft, kept);
  return kept;
}

function mismatch(source: string, expected: string, actual: string, left: string): TaskError {
  return new TaskError({
    what: `${source} is not the ISO it has to be`,
    why: `its sha256 is\n  ${actual}\nand has to be\n  ${expected}`,
    todo: [
      "If it was changed on its way, download it again",
      "If you gave ALMA_ISO_CHECKSUM, compare it with the publisher's CHECKSUM file",
    ],
    left: [left, "Nothing was built"],
  });
}

async function hashOf(file: string, { signal, output }: IsoOptions): Promise<string> {
  const { size: total } = await stat(file);
  const hash = createHash("sha256");
  const started = performance.now();
  let bytes = 0;
  let said = started;
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20, signal })) {
    hash.update(chunk as Buffer);
    bytes += (chunk as Buffer).length;
    if (performance.now() - said < PROGRESS_MS) continue;
    said = performance.now();
    output(`verifying · ${transferLine({ bytes, total, seconds: (said - started) / 1000 })}`);
  }
  return hash.digest("hex");
}
