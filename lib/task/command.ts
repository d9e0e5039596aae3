import type { SettingName, Settings, Source } from "../config/index.ts";
import type { UsageError } from "../errors.ts";
import type { Sandbox } from "../sandbox/index.ts";
import type { CommonFlags, FlagSpecs, Flags } from "./flags.ts";
import type { Step } from "./step.ts";

/** A positional argument. */
export interface Positional {
  /** As the help shows it: FILE. */
  readonly name: string;
  readonly about: string;
}

/** What a command declares of itself; help, checks and types follow from it. */
export interface CommandShape {
  /** Also the name of its file in tasks/ and of its npm script. */
  readonly name: string;
  /** One sentence. */
  readonly summary: string;
  readonly positionals?: readonly Positional[];
  readonly flags?: FlagSpecs;
  /** Settings it cannot do without. */
  readonly requires?: readonly SettingName[];
  /** Settings it uses when they are given or have a default. */
  readonly uses?: readonly SettingName[];
  /** Those of `uses` that it cannot do without, as long as what a person wrote elsewhere does not stand in for them. */
  demands?(sources: readonly Source[]): readonly SettingName[];
  /** It changes nothing anywhere: --dry-run makes no difference. */
  readonly readOnly?: boolean;
  /** It shows by itself what it would do with --dry-run. */
  readonly ownDryRun?: boolean;
  /** --sandbox makes no sense for it, or it starts the sandbox in its own way. */
  readonly ownSandbox?: boolean;
  /** It tells by itself of settings whose files cannot be read, and does what it can without them. */
  readonly tellsBrokenSources?: boolean;
  /** It works on nothing but what it makes itself: its questions are answered with yes. */
  readonly unattended?: boolean;
}

/** What a running command works with. */
export interface TaskContext<
  Specs extends FlagSpecs = FlagSpecs,
  Required extends SettingName = SettingName,
  Optional extends SettingName = SettingName,
> {
  readonly flags: CommonFlags & Flags<Specs>;
  readonly args: readonly string[];
  readonly settings: Settings<Required, Optional>;
  /**
   * Settings that only some ways of the command need, which `requires` therefore cannot name. What is missing is asked
   * for, where somebody can be asked.
   * @throws {UsageError} naming every setting that is missing or malformed
   */
  load<const R extends SettingName, const O extends SettingName>(
    required: readonly R[],
    optional: readonly O[],
  ): Promise<Settings<R, O>>;
  /** Where settings come from, the strongest first; for commands that look at more than they declare. */
  readonly sources: readonly Source[];
  /** What is wrong with places that settings come from, for a command that tells of it by itself. */
  readonly brokenSources: readonly UsageError[];
  /** The repository's folder. */
  readonly root: string;
  /** The embedded node, when --sandbox was given. */
  readonly sandbox: Sandbox | undefined;
  /** Aborted on Ctrl-C. */
  readonly signal: AbortSignal;
  /** Run steps and show them; with --dry-run only show them and end the command. */
  steps(steps: readonly Step[]): Promise<void>;
  /** Say something that stays visible. */
  note(line: string): void;
  /**
   * What the command came to.
   * @param text for people: the last lines of stdout
   * @param data for machines: the fields of the result event
   */
  result(text: string, data?: Readonly<Record<string, unknown>>): void;
}

/** A command with its types. */
export interface Command<Specs extends FlagSpecs, Required extends SettingName, Optional extends SettingName>
  extends CommandShape {
  readonly flags?: Specs;
  readonly requires?: readonly Required[];
  readonly uses?: readonly Optional[];
  demands?(sources: readonly Source[]): readonly Optional[];
  run(context: TaskContext<Specs, Required, Optional>): Promise<void>;
}

/** Declare a command; the types of its flags and settings follow from the declaration. */
export function defineCommand<
  // biome-ignore lint/complexity/noBannedTypes: "no flags of its own" is the empty object here
  const Specs extends FlagSpecs = {},
  const Required extends SettingName = never,
  const Optional extends SettingName = never,
>(command: Command<Specs, Required, Optional>): Command<Specs, Required, Optional> {
  return command;
}
