import { chmod, mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import * as v from "valibot";
import { messageOf, TaskError } from "../errors.ts";
import { runGently } from "../gentle.ts";
import type { RunResult } from "../process.ts";
import { lendFolder } from "../temporary.ts";
import { trustBundle } from "../trust.ts";
import { tofuEnv } from "./child-environment.ts";
import { copyEnvironment } from "./copy-environment.ts";
import { type Diagnostic, DiagnosticSchema, explain, tofuFailure } from "./diagnostics.ts";
import { encryptionConfig } from "./encryption.ts";
import { parseEvent, type TofuEvent } from "./events.ts";
import { noteState } from "./orphans.ts";
import { OTHER_TOFU, type Plan, parsePlan } from "./plan.ts";
import { Scratch } from "./scratch.ts";
import { type ManagedVm, vmsInState } from "./state.ts";

/** A value of a variable. */
export type VariableValue = string | number | boolean | readonly string[];

/** Where and with what tofu works. */
export interface TofuOptions {
  /** Path of the tofu program. */
  readonly program: string;
  /** CLI configuration that takes providers from the toolchain's mirror. */
  readonly cliConfigFile: string;
  /** The environment's folder, for example terraform/envs/k3s-single. */
  readonly directory: string;
  /** Where state and .terraform lie instead of the environment's folder; a state that lies there is never looked at. */
  readonly stateDir?: string;
  /** Files with values of variables, the weakest first. */
  readonly varFiles?: readonly string[];
  /** Values that beat them all. */
  readonly variables?: Readonly<Record<string, VariableValue>>;
  /** Secret values; handed over in the child's environment alone. */
  readonly secrets?: Readonly<Record<string, string>>;
  /** Encrypts state and plans; a state from before is read as it is. */
  readonly passphrase?: string;
  /** PEM certificates to trust besides the system's: a node's CA, or the pinned certificate itself. */
  readonly trusted?: string;
  readonly signal?: AbortSignal;
}

/** A plan, and the file that an apply carries out to the letter. */
export interface SavedPlan {
  readonly plan: Plan;
  readonly file: string;
  readonly warnings: readonly string[];
}

/** What a plan is to be made for. */
export interface PlanOptions {
  /** Plan the removal of everything. */
  readonly destroy?: boolean;
  /** Addresses of resources to make anew. */
  readonly replace?: readonly string[];
}

export type Progress = (event: TofuEvent) => void;

const ValidationSchema = v.object({ diagnostics: v.array(DiagnosticSchema) });
const OutputsSchema = v.record(v.string(), v.object({ value: v.unknown() }));

/** OpenTofu on one environment. Keeps plan and variables in a private folder until `close`. */
export class Tofu {
  readonly #options: TofuOptions;
  readonly #scratch: Scratch;
  readonly #env: NodeJS.ProcessEnv;
  readonly #varArgs: readonly string[];
  #plans = 0;

  private constructor(
    options: TofuOptions,
    scratch: Scratch,
    env: NodeJS.ProcessEnv,
    varArgs: readonly string[],
  ) {
    this.#options = options;
    this.#scratch = scratch;
    this.#env = env;
    this.#varArgs = varArgs;
  }

  static async open(options: TofuOptions): Promise<Tofu> {
    const { cliConfigFile, stateDir, secrets, passphrase, trusted, varFiles = [], variables = {} } = options;
    const scratch = Scratch.open();
    noteState(scratch.path, stateDir ?? options.directory, String(variables.pm_api_url ?? ""));
    // A -var-file beats TF_VAR_*, and the last one beats those before it.
    const last = await scratch.write("settings.tfvars.json", JSON.stringify(variables));
    const directory =
      stateDir === undefined ? options.directory : await copyEnvironment(options.directory, scratch.path);
    if (stateDir !== undefined) await mkdir(stateDir, { recursive: true, mode: 0o700 });
    const env = tofuEnv({
      cliConfigFile,
      ...(secrets === undefined ? {} : { secrets }),
      ...(passphrase === undefined ? {} : { encryption: encryptionConfig(passphrase) }),
      ...(stateDir === undefined
        ? {}
        : { dataDir: join(stateDir, ".terraform"), temporaryDir: scratch.path }),
      ...(trusted === undefined
        ? {}
        : { trustFile: await scratch.write("trusted.pem", await trustBundle(trusted)) }),
    });
    return new Tofu(
      { ...options, directory },
      scratch,
      env,
      [...varFiles, last].map((file) => `-var-file=${file}`),
    );
  }

  /** Remove plan and variables. */
  close(): void {
    this.#scratch.remove();
  }

  /**
   * Get provider and modules ready. Repeating it changes nothing and takes well under a second.
   * @throws {TaskError} when the provider is not in the mirror, or the backend was set up otherwise
   */
  async init(): Promise<void> {
    const { stateDir } = this.#options;
    // -upgrade: the mirror holds the one version that is pinned, whatever a lock file of last year says.
    await this.#json("cannot be initialised", [
      "init",
      "-input=false",
      "-upgrade",
      ...(stateDir === undefined ? [] : [`-backend-config=path=${join(stateDir, "terraform.tfstate")}`]),
    ]);
  }

  /**
   * Check the configuration without asking anything outside.
   * @throws {TaskError} with what is wrong and where
   */
  async validate(): Promise<void> {
    const { stdout, stderr, exitCode } = await this.#run(["validate", "-json"]);
    if (exitCode === 0) return;
    const parsed = v.safeParse(ValidationSchema, parseJson(stdout));
    throw tofuFailure(
      `${this.#name} is not valid`,
      parsed.success ? parsed.output.diagnostics : [],
      stderr || stdout,
    );
  }

  /**
   * Plan, and keep the plan for `apply`.
   * @throws {TaskError} with tofu's diagnostics; {UsageError} when a variable is missing or malformed
   */
  async plan(options: PlanOptions = {}, onEvent?: Progress): Promise<SavedPlan> {
    this.#plans += 1;
    const file = this.#scratch.file(`${this.#plans}.tfplan`);
    const warnings = await this.#json(
      "cannot be planned",
      [
        "plan",
        "-input=false",
        "-lock-timeout=10s",
        `-out=${file}`,
        ...(options.destroy ? ["-destroy"] : []),
        ...(options.replace ?? []).map((address) => `-replace=${address}`),
        ...this.#varArgs,
      ],
      onEvent,
    );
    await chmod(file, 0o600);
    const shown = await this.#run(["show", "-json", file]);
    if (shown.exitCode !== 0) throw tofuFailure("The plan cannot be read", [], shown.stderr);
    return { plan: parsePlan(shown.stdout), file, warnings };
  }

  /**
   * Carry out exactly that plan.
   * @returns warnings
   * @throws {TaskError} with tofu's diagnostics. What was done before the failure is in the state
   */
  async apply({ file }: SavedPlan, onEvent?: Progress): Promise<string[]> {
    return await this.#json(
      "was not applied completely",
      ["apply", "-input=false", "-lock-timeout=10s", file],
      onEvent,
    );
  }

  /** The outputs in the state, by name; empty before the first apply. */
  async outputs(): Promise<Record<string, unknown>> {
    const { stdout, stderr, exitCode } = await this.#run(["output", "-json"]);
    if (exitCode !== 0) throw tofuFailure(`The outputs of ${this.#name} cannot be read`, [], stderr);
    const outputs = v.parse(OutputsSchema, parseJson(stdout));
    return Object.fromEntries(Object.entries(outputs).map(([name, { value }]) => [name, value]));
  }

  /** The VMs that the state knows, with those that were made only half. Answers also after an interruption. */
  async managed(): Promise<ManagedVm[]> {
    const { program, directory } = this.#options;
    const { stdout, stderr, exitCode } = await runGently(program, ["show", "-json"], {
      cwd: directory,
      env: this.#env,
    });
    if (exitCode !== 0) throw tofuFailure(`The state of ${this.#name} cannot be read`, [], stderr);
    return vmsInState(parseJson(stdout));
  }

  get #name(): string {
    return basename(this.#options.directory);
  }

  /** Run a command with JSON output; returns its warnings. */
  async #json(
    failed: string,
    [command = "", ...args]: readonly string[],
    onEvent?: Progress,
  ): Promise<string[]> {
    const diagnostics: Diagnostic[] = [];
    const result = await this.#run([command, "-json", ...args], (line) => {
      const event = parseEvent(line);
      if (event?.kind === "diagnostic") diagnostics.push(event.diagnostic);
      if (event !== undefined) onEvent?.(event);
    });
    if (result.exitCode !== 0)
      throw tofuFailure(`${this.#name} ${failed}`, diagnostics, result.stderr, this.#options.varFiles);
    return diagnostics.filter(isWorthSaying).map(explain);
  }

  /** Runs tofu to its end, whatever its exit code. What it says when it was interrupted is told nobody: it was us. */
  async #run(args: readonly string[], onLine: (line: string) => void = () => {}): Promise<RunResult> {
    const { program, directory, signal } = this.#options;
    signal?.throwIfAborted();
    // It comes to its end when we are killed, and needs its folder for as long.
    const onStart = (pid: number): void => lendFolder(this.#scratch.path, pid);
    const result = await runGently(program, args, {
      cwd: directory,
      env: this.#env,
      signal,
      onLine,
      onStart,
    });
    if (result.exitCode !== 0) signal?.throwIfAborted();
    return result;
  }
}

/** tofu's own advice about lock files, which are not kept in Git here, is not worth a line in every run. */
function isWorthSaying({ severity, summary }: Diagnostic): boolean {
  return severity === "warning" && summary !== "Incomplete lock file information for providers";
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new TaskError({
      what: "tofu printed something other than JSON",
      why: messageOf(error),
      todo: OTHER_TOFU,
      cause: error,
    });
  }
}
