import { setMaxListeners } from "node:events";
import { existsSync, realpathSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import type { SettingName } from "../config/index.ts";
import { InterruptedError, TaskError } from "../errors.ts";
import type { Command } from "./command.ts";
import { eventLine } from "./event-line.ts";
import {
  bugOf,
  type FailureStyle,
  failureEvent,
  formatFailure,
  forSameRun,
  type RunFlags,
} from "./failure.ts";
import type { FlagSpecs } from "./flags.ts";
import { parseFlags } from "./flags.ts";
import { helpOf, usageOf } from "./help.ts";

/** The repository's folder: the parent of lib/. */
export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** One Ctrl-C arrives several times: from the terminal, and from npm, npx and tsx, which pass it on. */
const SAME_PRESS_MS = 1_000;

/** listr2 hides the cursor while it draws. */
const SHOW_CURSOR = "\u001b[?25h";

/**
 * Run a command when its file is what was started, do nothing when it was imported. This is the one place that
 * touches the process: its streams, signals and exit code.
 * @param url the command file's import.meta.url
 */
export async function main<
  Specs extends FlagSpecs,
  Required extends SettingName,
  Optional extends SettingName,
>(url: string, command: Command<Specs, Required, Optional>): Promise<void> {
  if (!isStarted(fileURLToPath(url))) return;
  const argv = process.argv.slice(2);
  const interrupt = new AbortController();
  // Many steps and children listen to the one signal of a run; that is no leak.
  setMaxListeners(0, interrupt.signal);
  let interruptedAt = 0;
  const onSignal = (): void => {
    if (interrupt.signal.aborted) {
      if (performance.now() - interruptedAt < SAME_PRESS_MS) return;
      stopAtOnce();
    }
    interruptedAt = performance.now();
    interrupt.abort(new InterruptedError());
  };
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, onSignal);
  // Whoever read has gone (`| head`, a closed terminal): the work goes on, and the exit code tells how it went.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

  const json = argv.includes("--json");
  const style = { color: process.stderr.hasColors?.() ?? false, verbose: argv.includes("--verbose") };
  const print = (text: string): void => {
    process.stdout.write(`${text}\n`);
  };
  let same: RunFlags = { sandbox: false, env: undefined };
  try {
    const { flags, args } = parseFlags(
      argv,
      command.flags ?? ({} as Specs),
      (command.positionals ?? []).map((each) => each.name),
      usageOf(command),
    );
    same = flags;
    if (flags.help) {
      print(helpOf(command).trimEnd());
      return;
    }
    // What nobody waits for, a rejected promise included. Node.js would print it as it is, with all that it carries.
    process.on("uncaughtException", (error) => stopAtBug(error, json, style));
    // The rest is loaded only now: --help answers at once.
    const { execute } = await import("./execute.ts");
    await execute(command, { flags, args, root: ROOT, signal: interrupt.signal, print });
  } catch (error) {
    const failure = forSameRun(interrupt.signal.aborted ? interruptedBy(error) : error, same);
    process.stderr.write(`\n${formatFailure(failure, style)}\n`);
    if (json) print(eventLine({ event: "result", ...failureEvent(failure) }));
    process.exitCode = failure instanceof TaskError ? failure.exitCode : 1;
  } finally {
    for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.off(name, onSignal);
  }
}

/** Whether a file is what Node was started with; the ending may be left out. */
function isStarted(file: string): boolean {
  const [, script] = process.argv;
  if (script === undefined) return false;
  return [script, `${script}.ts`].some((path) => existsSync(path) && realpathSync(path) === file);
}

function stopAtOnce(): never {
  const cursor = process.stderr.isTTY ? SHOW_CURSOR : "";
  try {
    // While listr2 draws, it keeps what is written to process.stderr for later.
    writeSync(2, `${cursor}\nStopped at once: what was under way is left as it is.\n`);
  } catch {
    // Nobody reads it.
  }
  process.exit(130);
}

function stopAtBug(error: unknown, json: boolean, style: FailureStyle): never {
  const failure = bugOf(error).withLeft(["What was under way is left as it is"]);
  try {
    writeSync(2, `\n${formatFailure(failure, style)}\n`);
    if (json) writeSync(1, `${eventLine({ event: "result", ...failureEvent(failure) })}\n`);
  } catch {
    // Nobody reads it.
  }
  process.exit(1);
}

/** What an interruption broke is an interruption, whatever the step at work made of it. */
function interruptedBy(error: unknown): InterruptedError {
  if (error instanceof InterruptedError) return error;
  if (!(error instanceof TaskError)) return new InterruptedError({ cause: error });
  const { message, todo, left } = error;
  return new InterruptedError({ why: message, todo, left, cause: error });
}
