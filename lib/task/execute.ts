import { join, relative } from "node:path";
import {
  loadSettings,
  missingSettings,
  readSources,
  type SettingName,
  type Settings,
} from "../config/index.ts";
import { UsageError } from "../errors.ts";
import type { Sandbox } from "../sandbox/index.ts";
import { redact } from "../secrets.ts";
import { keepToolLogs, type ToolLogLevel } from "../tool-log.ts";
import { hasTerminal } from "./ask.ts";
import type { Command, TaskContext } from "./command.ts";
import { leaveNoDumps } from "./crash.ts";
import { eventLine } from "./event-line.ts";
import type { CommonFlags, FlagSpecs, Flags } from "./flags.ts";
import { askForSettings } from "./missing.ts";
import { JsonReporter, PlainReporter, TerminalReporter } from "./reporters.ts";
import { sandboxLines, sourcesFor } from "./sandbox-settings.ts";
import type { Reporter, Step } from "./step.ts";

/** What `main` hands over once the command line is understood. */
interface Execution<Specs extends FlagSpecs> {
  readonly flags: CommonFlags & Flags<Specs>;
  readonly args: readonly string[];
  readonly root: string;
  readonly signal: AbortSignal;
  /** Writes a line to stdout. */
  print(line: string): void;
}

const INSECURE =
  "PM_TLS_INSECURE is set: the node's certificate is not verified, anybody in between can read and change everything";

/** Thrown to end a command after --dry-run has shown its steps. */
class DryRunShown extends Error {}

/**
 * Load a command's settings (from the sandbox, if it is asked for) and run it.
 * @throws whatever the command throws
 */
export async function execute<
  Specs extends FlagSpecs,
  Required extends SettingName,
  Optional extends SettingName,
>(command: Command<Specs, Required, Optional>, execution: Execution<Specs>): Promise<void> {
  const { flags, args, root, signal, print } = execution;
  leaveNoDumps();
  const toStderr = (line: string): void => {
    process.stderr.write(`${redact(line)}\n`);
  };
  const reporter = reporterFor(flags.json, print, toStderr);
  const dryRun = flags.dryRun && !command.readOnly && !command.ownDryRun;
  const brokenSources: UsageError[] = [];
  const outside = await readSources(
    root,
    (line) => reporter.note(line),
    { ENV: flags.env },
    (error) => {
      if (!command.tellsBrokenSources) throw error;
      brokenSources.push(error);
    },
  );
  const sandbox = flags.sandbox && !command.ownSandbox ? await startSandbox(root, signal) : undefined;
  try {
    const sources = sourcesFor({ ENV: flags.env }, outside, sandbox);
    if (sandbox !== undefined) {
      for (const line of sandboxLines(sandbox, outside, flags.verbose)) toStderr(line);
    }
    const mayAsk =
      !flags.json && !flags.yes && !command.unattended && hasTerminal() && !isContinuousIntegration();
    let saidInsecure = false;
    const load = async <const R extends SettingName, const O extends SettingName>(
      required: readonly R[],
      optional: readonly O[],
      demanded: readonly NoInfer<O>[] = [],
    ): Promise<Settings<R, O>> => {
      const missing = mayAsk ? missingSettings([...required, ...demanded], sources) : [];
      if (missing.length > 0) {
        // What is malformed is told before anybody types answers.
        const given = required.filter((name) => !missing.includes(name));
        await loadSettings(given, optional, sources);
        sources.unshift(await askForSettings(missing, { root, sources, signal, say: toStderr }));
      }
      const settings = await loadSettings(required, optional, sources, demanded);
      if (!saidInsecure && "PM_TLS_INSECURE" in settings && settings.PM_TLS_INSECURE === true) {
        saidInsecure = true;
        reporter.note(INSECURE);
      }
      return settings;
    };
    const demanded = command.demands?.(sources) ?? [];
    const settings = await load(command.requires ?? [], command.uses ?? [], demanded);
    const { TOOL_LOG } = await loadSettings([], ["TOOL_LOG"], sources).catch((error: unknown) => {
      // The settings' own check finds it, too.
      if (command.tellsBrokenSources && error instanceof UsageError) return { TOOL_LOG: "off" } as const;
      throw error;
    });
    await showInside({ root, level: TOOL_LOG, verbose: flags.verbose, note: (line) => reporter.note(line) });
    const results = new HeldResult(print);
    const context: TaskContext<Specs, Required, Optional> = {
      flags,
      args,
      settings,
      load,
      sources,
      brokenSources,
      root,
      sandbox,
      signal,
      note: (line) => reporter.note(redact(line)),
      result: (text, data = {}) => {
        results.tell(flags.json ? eventLine({ event: "result", ok: true, ...data }) : redact(text));
      },
      steps: async (steps) => {
        if (dryRun) {
          showOnly(steps, toStderr);
          throw new DryRunShown();
        }
        const { runSteps } = await import("./run.ts");
        const run = (): Promise<void> =>
          runSteps(steps, { reporter, signal, yes: flags.yes || (command.unattended ?? false) });
        await results.during(() =>
          reporter instanceof TerminalReporter ? reporter.whileDrawing(run) : run(),
        );
      },
    };
    await command.run(context);
  } catch (error) {
    if (!(error instanceof DryRunShown)) throw error;
    if (flags.json) print(eventLine({ event: "result", ok: true, dryRun: true }));
  } finally {
    await sandbox?.stop();
  }
}

/** A result that a step tells is printed once the list has ended: the last line, and not drawn over. */
class HeldResult {
  readonly #print: (line: string) => void;
  #running = false;
  #held: string[] = [];

  constructor(print: (line: string) => void) {
    this.#print = print;
  }

  tell(line: string): void {
    if (this.#running) this.#held.push(line);
    else this.#print(line);
  }

  /** What a list that fails had told is not printed: the failure is its result. */
  async during(run: () => Promise<void>): Promise<void> {
    this.#running = true;
    try {
      await run();
      for (const line of this.#held) this.#print(line);
    } finally {
      this.#running = false;
      this.#held = [];
    }
  }
}

function reporterFor(
  json: boolean,
  print: (line: string) => void,
  toStderr: (line: string) => void,
): Reporter {
  if (json) return new JsonReporter(print);
  return process.stderr.isTTY && process.env.TERM !== "dumb"
    ? new TerminalReporter(toStderr)
    : new PlainReporter(toStderr);
}

async function startSandbox(root: string, signal: AbortSignal): Promise<Sandbox> {
  const { sandboxDirectory, startSandbox } = await import("../sandbox/index.ts");
  return await startSandbox({ dir: sandboxDirectory(root), signal });
}

interface Inside {
  readonly root: string;
  readonly level: "off" | ToolLogLevel;
  readonly verbose: boolean;
  note(line: string): void;
}

/** What goes on inside: command lines with --verbose, the tools' own logs with TOOL_LOG. */
async function showInside({ root, level, verbose, note }: Inside): Promise<void> {
  if (verbose) {
    const { watchCommands } = await import("../process.ts");
    watchCommands((line) => note(`$ ${line}`));
  }
  const folder = join(root, ".homelab", "logs");
  keepToolLogs(
    level === "off"
      ? undefined
      : { level, folder, begun: (file) => note(`What the tool logs: ${relative(process.cwd(), file)}`) },
  );
}

/** Nobody answers there, whatever the runner's terminal looks like. */
function isContinuousIntegration(): boolean {
  const { CI = "" } = process.env;
  return !/^(0|false|no|off)?$/i.test(CI);
}

function showOnly(steps: readonly Step[], say: (line: string) => void): void {
  say("Nothing is done (--dry-run). The steps would be:");
  for (const step of steps) {
    say(`  ${step.title}`);
    for (const command of step.preview?.() ?? []) say(`    $ ${command}`);
  }
}
