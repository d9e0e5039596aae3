import { createHash } from "node:crypto";
import { createReadStream, statSync } from "node:fs";
import { chmod, rename, rm } from "node:fs/promises";
import { failure, parameterError } from "../calls.ts";
import type { ContentType, LocatedVolume, Worker, World } from "../world/index.ts";
import { readSource } from "./import-source.ts";
import { lacksRoom } from "./room.ts";

/** A file that is to come onto a storage, by upload or download. */
export interface FileRequest {
  readonly storage: string;
  readonly content: ContentType;
  /** As the client names it; what a file name may not hold becomes "_". */
  readonly filename: string;
  readonly checksum: Checksum | undefined;
}

export interface Checksum {
  readonly algorithm: string;
  /** Hexadecimal. */
  readonly expected: string;
}

const EXTENSIONS: Partial<Record<ContentType, readonly [pattern: RegExp, complaint: string]>> = {
  iso: [/.\.(?:iso|img)$/i, "wrong file extension"],
  vztmpl: [/.\.tar\.(?:gz|xz|zst|bz2)$/i, "wrong file extension"],
  import: [/^[-a-zA-Z0-9.+=_]+\.(?:ova|qcow2|raw|vmdk)$/, "invalid filename or wrong extension"],
};

/**
 * Check where a file would go before anything happens.
 * @param unsupported what is said of a storage that does not hold such content
 * @throws {ApiError}
 */
export function placeOf(
  world: World,
  { storage: id, content, filename }: FileRequest,
  unsupported: (storage: string, content: string) => string,
): LocatedVolume {
  const storage = world.storages.get(id);
  const name = filename.replace(/^.*[/\\]/s, "").replace(/[^a-zA-Z0-9_.-]/g, "_");
  const [pattern, complaint] = EXTENSIONS[content] ?? [];
  if (pattern?.test(name) !== true) throw parameterError({ filename: complaint ?? "wrong file extension" });
  if (!storage.content.includes(content)) throw failure(unsupported(id, content));
  return world.storages.locate(`${id}:${content}/${name}`);
}

/**
 * Put an uploaded file in its place; one of that name that is there already is written over, as on a real node.
 * @param source where the server has put it, on the node; it is gone afterwards
 */
export async function importUpload(
  world: World,
  source: string,
  target: LocatedVolume,
  { checksum, content }: FileRequest,
  worker: Worker,
): Promise<void> {
  const hostPath = world.files.toHost(source);
  try {
    worker.log(`starting file import from: ${source}`);
    if (checksum !== undefined) await verify(hostPath, checksum, worker);
    if (content === "import") await readSource(source, hostPath);
    worker.log(`target node: ${world.node}`);
    worker.log(`target file: ${target.path}`);
    const { size } = statSync(hostPath);
    worker.log(`file size is: ${size}`);
    worker.log(`command: cp -- ${source} ${target.path}`);
    await worker.takes(0.5);
    // cp begins by emptying what it writes over.
    await rm(target.hostPath, { force: true });
    if ((await lacksRoom(world, target, size)) !== undefined) {
      throw failure(`import failed: cp: error writing '${target.path}': No space left on device`);
    }
    await chmod(hostPath, 0o644);
    await rename(hostPath, target.hostPath);
    worker.log("finished file import successfully");
  } finally {
    await rm(hostPath, { force: true });
  }
}

/**
 * Compare a file with the checksum that was promised.
 * @throws {ApiError} with both
 */
export async function verify(
  hostPath: string,
  { algorithm, expected }: Checksum,
  worker: Pick<Worker, "log" | "signal">,
): Promise<void> {
  const hash = createHash(algorithm);
  for await (const chunk of createReadStream(hostPath, { signal: worker.signal }))
    hash.update(chunk as Buffer);
  const got = hash.digest("hex");
  const same = got === expected.toLowerCase();
  worker.log(`calculating checksum...${same ? "OK, checksum verified" : ""}`);
  if (!same) throw failure(`checksum mismatch: got '${got}' != expect '${expected}'`);
}
