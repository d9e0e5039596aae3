import { TaskError } from "../../errors.ts";
import { CommandError } from "../../process.ts";
import { formatBytes } from "../../progress.ts";
import type { Qcow2 } from "../qcow2.ts";
import type { NodeShell } from "../ssh.ts";
import { demandSpace, storages } from "../storage.ts";
import { UPLOAD_FOLDER } from "./place.ts";

/** What a shell ends with that does not find the program. */
const NOT_FOUND = 127;

/** @throws {TaskError} when it is no Proxmox VE node, or we are not root there */
export async function demandNode(shell: NodeShell, signal: AbortSignal): Promise<void> {
  const { user, host } = shell.target;
  await shell.run(["pveversion"], { signal }).catch((error: unknown) => {
    if (!(error instanceof CommandError) || error.exitCode !== NOT_FOUND) throw error;
    const what = `${host} is not a Proxmox VE node`;
    throw new TaskError({ what, why: error.message, todo: ["Check PM_SSH_HOST"], cause: error });
  });
  const { stdout } = await shell.run(["id", "-u"], { signal });
  if (stdout.trim() === "0") return;
  throw new TaskError({
    what: `${user} may not import a disk on the node`,
    why: "Only root may: qm takes a file of the node from nobody else",
    todo: ["Set PM_SSH_USER=root"],
  });
}

/** Above the folder that images are sent to, and there before it is. */
export const UPLOAD_FILESYSTEM = "/var/lib";

/**
 * @param toSend bytes that are still to be sent
 * @throws {TaskError} when the storage, or the folder that the image is sent to, has no room for it
 */
export async function demandRoom(
  shell: NodeShell,
  storage: string,
  image: Qcow2,
  toSend: number,
  signal: AbortSignal,
): Promise<void> {
  demandSpace(await storages(shell, { signal }), storage, image.virtualSize);
  const { stdout } = await shell.run(["df", "-B1", "--output=avail", UPLOAD_FILESYSTEM], { signal });
  const free = Number(stdout.trim().split("\n").at(-1));
  if (free >= toSend) return;
  throw new TaskError({
    what: `${UPLOAD_FILESYSTEM} on the node is too full`,
    why: `${formatBytes(toSend)} are needed for the transfer to ${UPLOAD_FOLDER}, ${formatBytes(free)} are free`,
    todo: [
      "Free some space there; what earlier uploads have left:",
      "$ npm run leftovers",
      "What takes the space, on the node:",
      `$ du -xh -d 2 ${UPLOAD_FILESYSTEM} | sort -h | tail`,
    ],
  });
}
