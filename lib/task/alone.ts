import { join } from "node:path";
import { TaskError } from "../errors.ts";
import { tryLock } from "../lock.ts";
import type { Sandbox } from "../sandbox/index.ts";

/** The part of a running command that tells which environment is meant: that of the sandbox is another one. */
interface Running {
  /** The repository's folder. */
  readonly root: string;
  readonly sandbox: Sandbox | undefined;
  readonly flags: { readonly dryRun: boolean };
}

/**
 * Do something that changes an environment while nobody else on this machine does. A killed task leaves nothing behind:
 * a lock whose process is gone is taken over.
 * @throws {TaskError} saying who is at it, and since when
 */
export async function alone(
  { root, sandbox, flags }: Running,
  environment: string,
  action: () => Promise<void>,
): Promise<void> {
  // Nothing is changed, so nobody has to wait.
  if (flags.dryRun) return await action();
  const folder = sandbox?.dir ?? join(root, ".homelab");
  const file = join(folder, "locks", `${environment}.lock`);
  await holding(file, `Somebody else is changing the environment ${environment}`, action);
}

/**
 * Do something while this process holds a lock.
 * @param taken what is so while another one holds it: "The image NAME is being built already"
 * @throws {TaskError} saying that, with who holds it and since when
 */
export async function holding(file: string, taken: string, action: () => Promise<void>): Promise<void> {
  const lock = tryLock(file);
  if (!lock.held) {
    throw new TaskError({
      what: taken,
      why: `Process ${lock.holder} on this machine: ${lock.run}`,
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
