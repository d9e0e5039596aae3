import { TaskError } from "../../errors.ts";
import { CommandError, childEnv, start } from "../../process.ts";
import { formatMark, runMark } from "../../run-mark.ts";
import { quoteWords } from "../quote.ts";
import type { NodeShell } from "../ssh.ts";
import { UPLOAD_FOLDER } from "./place.ts";

/** What flock ends with when somebody else has the lock: no code of ssh's or a shell's. */
export const LOCK_TAKEN = 75;
const HELD = "held";

/** A lock that lasts as long as the connection: a killed task cannot leave it behind. */
export interface NodeLock {
  release(): Promise<void>;
}

/**
 * Make sure that nobody else uploads an image of this name, from whatever machine.
 * @throws {TaskError} saying who does, and since when
 */
export async function lockUpload(shell: NodeShell, name: string, signal: AbortSignal): Promise<NodeLock> {
  const file = `${UPLOAD_FOLDER}/${name}.lock`;
  const holder = formatMark(runMark());
  // cat ends with its stdin: when we say so, or when the connection is gone.
  const whileHeld = `${quoteWords(["echo", holder])} > ${quoteWords([`${file}.by`])} && echo ${HELD} && cat`;
  const line = [
    "umask 077",
    quoteWords(["mkdir", "-p", UPLOAD_FOLDER]),
    quoteWords(["flock", "-n", "-E", String(LOCK_TAKEN), file, "sh", "-c", whileHeld]),
  ].join(" && ");
  const ssh = await shell.command(["--", line]);
  // Not the task's signal: what is undone after an interruption is still done under the lock.
  const child = start(ssh.file, ssh.args, { env: childEnv({ LC_ALL: "C" }) });
  const end = async (): Promise<void> => {
    child.stdin.end();
    await child;
  };
  const release = async (): Promise<void> => {
    // As long as we hold it, nobody else can be in it.
    await shell.run(["rm", "-f", file, `${file}.by`]).catch(() => {});
    await end();
  };
  const abort = (): void => void end();
  signal.addEventListener("abort", abort, { once: true });
  try {
    signal.throwIfAborted();
    const taken = await Promise.race([saysHeld(child.stdout), child.then((result) => result)]);
    if (taken === HELD) return { release };
    signal.throwIfAborted();
    if (taken.exitCode !== LOCK_TAKEN) throw shell.failureOf(new CommandError(ssh.file, ssh.args, taken));
  } finally {
    signal.removeEventListener("abort", abort);
  }
  const { stdout } = await shell.run(["cat", `${file}.by`], { signal });
  throw new TaskError({
    what: `Another upload of ${name} is under way`,
    why: `It is ${stdout.trim() || "somebody else's"}`,
    todo: ["Wait until it is done, then run this again: it finds the template", "Or end it where it runs"],
  });
}

async function saysHeld(stdout: NodeJS.ReadableStream): Promise<typeof HELD> {
  return await new Promise((resolve) => {
    let said = "";
    const listen = (chunk: Buffer): void => {
      said += chunk.toString();
      if (said.includes(HELD)) {
        stdout.off("data", listen);
        resolve(HELD);
      }
    };
    stdout.on("data", listen);
  });
}
