import { statSync } from "node:fs";
import { failure } from "../calls.ts";
import {
  ImageError,
  type ImageInfo,
  importImage,
  inspectImage,
  OutsideNodeError,
  type Worker,
  type World,
} from "../world/index.ts";
import { demandRoomFor } from "./room.ts";
import { formattingLine, transferReporter } from "./wording.ts";

/** An image to import from, on the node or on a storage. */
export interface ImportSource {
  /** As the node knows it. */
  readonly path: string;
  readonly hostPath: string;
  readonly info: ImageInfo;
}

/** The host's path of a regular file of the node, or undefined when there is none. */
export function regularFile(world: World, path: string): string | undefined {
  try {
    const hostPath = world.files.toHost(path);
    return statSync(hostPath, { throwIfNoEntry: false })?.isFile() === true ? hostPath : undefined;
  } catch (error) {
    if (error instanceof OutsideNodeError) return undefined;
    throw error;
  }
}

/**
 * Look at an image that is to be imported.
 * @throws {ApiError} with what qemu-img says of a damaged one
 */
export async function readSource(path: string, hostPath: string): Promise<ImportSource> {
  try {
    const info = await inspectImage(hostPath);
    if (info !== undefined) return { path, hostPath, info };
    throw new ImageError("No such file or directory");
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    const command = `/usr/bin/qemu-img info '--output=json' ${path}`;
    throw failure(
      `command '${command}' failed: exit code 1\nqemu-img: Could not open '${path}': ${error.message}`,
    );
  }
}

/** Copy an image into a new volume, with the node's lines about it. */
export async function copyIn(
  world: World,
  source: ImportSource,
  volid: string,
  log: Worker["log"],
): Promise<void> {
  const volume = world.storages.locate(volid);
  const { virtualSize, format } = source.info;
  log(formattingLine(volume.path, volume.format, virtualSize));
  const report = transferReporter(virtualSize, log);
  // The node goes by the file's name: what is called qcow2 is read as qcow2.
  if (source.path.endsWith(".qcow2") && format !== "qcow2") {
    const command = `/usr/bin/qemu-img convert -p -n -f qcow2 -O ${volume.format} ${source.path}`;
    log(`qemu-img: Could not open '${source.path}': Image is not in qcow2 format`);
    throw failure(`copy failed: command '${command} zeroinit:${volume.path}' failed: exit code 1`);
  }
  const copy = { from: source.path, hostPath: source.hostPath, format, target: volume };
  await demandRoomFor(world, copy, (line) => {
    // The node's copy is in a cache by then: it reports all of it before it fails.
    report(1);
    log(line);
  });
  await importImage(source.hostPath, volume, { onProgress: (done, total) => report(done / total) });
  report(1);
}
