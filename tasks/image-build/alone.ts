import { join } from "node:path";
import { TaskError } from "../../lib/errors.ts";
import { tryLock } from "../../lib/lock.ts";
import type { Build } from "./packer.ts";

/**
 * Build an image while nobody else builds it in this clone: they would work in the same folders, and on the same VM.
 * @throws {TaskError} saying who is at it, and since when
 */
export async function aloneWith(
  { root, name }: Pick<Build, "root" | "name">,
  action: () => Promise<void>,
): Promise<void> {
  const lock = tryLock(join(root, ".homelab", "locks", `build-${name}.lock`));
  if (!lock.held) {
    throw new TaskError({
      what: `The image ${name} is being built already`,
      why: `By process ${lock.holder} on this machine: ${lock.run}`,
      todo: [
        "Wait until it is done, then run this again",
        "What it is:",
        `$ ps -o pid,lstart,args -p ${lock.holder}`,
      ],
      left: ["Nothing was changed"],
    });
  }
  try {
    await action();
  } finally {
    lock.release();
  }
}
