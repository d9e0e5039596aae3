import { stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { failure } from "../calls.ts";
import { inspectImage, type LocatedVolume, type Worker, type World } from "../world/index.ts";

/** qemu-img writes in pieces of this size, and fails at the beginning of one. */
const PIECE = 2 * 1024 ** 2;

/** A copy between images, as qemu-img is told. */
export interface Copy {
  /** On the node. */
  readonly from: string;
  readonly hostPath: string;
  readonly format: string;
  readonly target: LocatedVolume;
}

/**
 * Check that a storage has room for what a file really takes. Storages without a limit are passed over.
 * @returns how many bytes are free where they are too few
 */
export async function lacksRoom(
  world: World,
  target: LocatedVolume,
  bytes: number,
): Promise<number | undefined> {
  if (world.storages.limit(target.storage) === undefined) return undefined;
  const { avail } = await world.storages.usage(target.storage);
  return bytes > avail ? avail : undefined;
}

/**
 * Check that an image fits where it is to be copied.
 * @throws {ApiError} in qemu-img's words, after its own line in the log
 */
export async function demandRoomFor(
  world: World,
  { from, hostPath, format, target }: Copy,
  log: Worker["log"],
): Promise<void> {
  const avail = await lacksRoom(world, target, await dataIn(hostPath));
  if (avail === undefined) return;
  log(`qemu-img: error while writing at byte ${Math.floor(avail / PIECE) * PIECE}: No space left on device`);
  const command = `/usr/bin/qemu-img convert -p -n -f ${format} -O ${target.format} ${from} zeroinit:${target.path}`;
  throw failure(`copy failed: command '${command}' failed: exit code 1`);
}

/** Bytes of data in an image and in those below it. */
async function dataIn(file: string): Promise<number> {
  const { blocks } = await stat(file);
  const below = (await inspectImage(file))?.backingFile;
  return blocks * 512 + (below === undefined ? 0 : await dataIn(resolve(dirname(file), below)));
}
