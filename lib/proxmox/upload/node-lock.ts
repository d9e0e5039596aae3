import { TaskError } from "../../errors.ts";
import { pollUntil } from "../../poll.ts";
import { CommandError, childEnv, start } from "../../process.ts";
import { formatMark, goesOn, parseMark, runMark } from "../../run-mark.ts";
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

/** How long the node may take to notice that a killed run's connection is gone. */
const GONE_MS = 30_000;

/**
 * Make sure that nobody else uploads an image of this name, from whatever machine. The lock of a run that was killed goes
 * with its connection, a moment later.
 * @throws {TaskError} saying who does, and since when
 */
export async function lockUpload(shell: NodeShell, name: string, signal: AbortSignal): Promise<NodeLock> {
  return await pollUntil(
    async () => {
      const taken = await tryUploadLock(shell, name, signal);
      if (typeof taken !== "string") return { value: taken };
      const run = parseMark(taken);
      if (run === undefined || goesOn(run) !== false) throw underWay(name, taken);
      return { pending: taken };
    },
    { timeoutMs: GONE_MS, everyMs: 500, signal },
    (holder) => underWay(name, holder),
  );
}

function underWay(name: string, holder: string): TaskError {
  return new TaskError({
    what: `Another upload of ${name} is under way`,
    why: `It is ${holder || "somebody else's"}`,
    todo: ["Wait until it is done, then run this again: it finds the template", "Or end it where it runs"],
  });
}

/** The lock, or who has it. */
async function tryUploadLock(
  shell: NodeShell,
  name: string,
  signal: AbortSignal,
): Promise<NodeLock | string> {
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
  // Whoever has it by now may still have to say so.
  const { stdout } = await shell.run(["cat", `${file}.by`], { signal, allow: [0, 1] });
  return stdout.trim();
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
