import { loadSettings, readSources, type SettingName, type Source } from "../config/index.ts";
import type { Sandbox } from "../sandbox/index.ts";
import { redact } from "../secrets.ts";
import type { Command, TaskContext } from "./command.ts";
import { eventLine } from "./event-line.ts";
import type { CommonFlags, FlagSpecs, Flags } from "./flags.ts";
import { JsonReporter, PlainReporter, TerminalReporter } from "./reporters.ts";
import { sandboxSettings } from "./sandbox-settings.ts";
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
  const toStderr = (line: string): void => {
    process.stderr.write(`${redact(line)}\n`);
  };
  const reporter = reporterFor(flags.json, print, toStderr);
  const dryRun = flags.dryRun && !command.readOnly;
  const sandbox =
    flags.sandbox && !command.ownSandbox ? await startSandbox(root, signal, toStderr) : undefined;
  try {
    const sources = await sourcesFor(root, flags, sandbox, (line) => reporter.note(line));
    const settings = await loadSettings(command.requires ?? [], command.uses ?? [], sources);
    if ("PM_TLS_INSECURE" in settings && settings.PM_TLS_INSECURE === true) {
      reporter.note(
        "PM_TLS_INSECURE is set: the node's certificate is not verified, anybody in between can read and change everything",
      );
    }
    const results = new HeldResult(print);
    const context: TaskContext<Specs, Required, Optional> = {
      flags,
      args,
      settings,
      sources,
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

async function startSandbox(
  root: string,
  signal: AbortSignal,
  say: (line: string) => void,
): Promise<Sandbox> {
  const { sandboxDirectory, startSandbox } = await import("../sandbox/index.ts");
  const sandbox = await startSandbox({ dir: sandboxDirectory(root), signal });
  say(`Sandbox: an embedded, simulated Proxmox node at ${sandbox.endpoints.apiUrl}; no real node is touched`);
  return sandbox;
}

/** Where this run's settings come from, the strongest first. */
async function sourcesFor(
  root: string,
  flags: CommonFlags,
  sandbox: Sandbox | undefined,
  notice: (line: string) => void,
): Promise<Source[]> {
  const commandLine = { name: "the command line", values: { ENV: flags.env } };
  const outside = await readSources(root, notice);
  if (sandbox === undefined) return [commandLine, ...outside];
  const values = sandboxSettings(sandbox);
  // What a person has set for a real node must not leak into a run on the sandbox, nor the other way round.
  const keep = ([name]: [string, unknown]): boolean => !name.startsWith("PM_") && !(name in values);
  return [
    commandLine,
    { name: "the sandbox", values },
    ...outside.map((source) => ({
      name: source.name,
      values: Object.fromEntries(Object.entries(source.values).filter(keep)),
    })),
  ];
}

function showOnly(steps: readonly Step[], say: (line: string) => void): void {
  say("Nothing is done (--dry-run). The steps would be:");
  for (const step of steps) {
    say(`  ${step.title}`);
    for (const command of step.preview?.() ?? []) say(`    $ ${command}`);
  }
}
