import { setMaxListeners } from "node:events";
import { realpathSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import type { SettingName } from "../config/index.ts";
import { InterruptedError, TaskError } from "../errors.ts";
import type { Command } from "./command.ts";
import { failureEvent, formatFailure } from "./failure.ts";
import type { FlagSpecs } from "./flags.ts";
import { parseFlags } from "./flags.ts";
import { helpOf, usageOf } from "./help.ts";

/** The repository's folder: the parent of lib/. */
export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

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
  if (process.argv[1] === undefined || realpathSync(process.argv[1]) !== fileURLToPath(url)) return;
  const argv = process.argv.slice(2);
  const interrupt = new AbortController();
  // Many steps and children listen to the one signal of a run; that is no leak.
  setMaxListeners(0, interrupt.signal);
  const onSignal = (): void => {
    if (interrupt.signal.aborted) {
      process.stderr.write("\nStopped at once: what was under way is left as it is.\n");
      process.exit(130);
    }
    interrupt.abort(new InterruptedError());
  };
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, onSignal);

  const json = argv.includes("--json");
  const print = (text: string): void => {
    process.stdout.write(`${text}\n`);
  };
  try {
    const { flags, args } = parseFlags(
      argv,
      command.flags ?? ({} as Specs),
      (command.positionals ?? []).map((each) => each.name),
      usageOf(command),
    );
    if (flags.help) {
      print(helpOf(command).trimEnd());
      return;
    }
    // The rest is loaded only now: --help answers at once.
    const { execute } = await import("./execute.ts");
    await execute(command, { flags, args, root: ROOT, signal: interrupt.signal, print });
  } catch (error) {
    const failure =
      interrupt.signal.aborted && !(error instanceof TaskError) ? new InterruptedError() : error;
    const style = { color: process.stderr.hasColors?.() ?? false, verbose: argv.includes("--verbose") };
    process.stderr.write(`\n${formatFailure(failure, style)}\n`);
    if (json) print(JSON.stringify({ event: "result", ...failureEvent(failure) }));
    process.exitCode = failure instanceof TaskError ? failure.exitCode : 1;
  } finally {
    for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.off(name, onSignal);
  }
}
