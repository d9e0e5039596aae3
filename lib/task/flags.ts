import { parseArgs } from "node:util";
import { messageOf, UsageError } from "../errors.ts";

/** One flag of a command. */
export interface FlagSpec {
  readonly type: "boolean" | "string";
  /** May be given several times; its value is then a list. */
  readonly multiple?: true;
  readonly about: string;
  /** What stands for the value in the help: NAME, FILE. */
  readonly value?: string;
}

export type FlagSpecs = Readonly<Record<string, FlagSpec>>;

/** The parsed flags, by name with dashes turned into camel case. */
export type Flags<Specs extends FlagSpecs> = {
  readonly [Name in keyof Specs as Camel<Name & string>]: Specs[Name]["type"] extends "boolean"
    ? boolean
    : Specs[Name] extends { readonly multiple: true }
      ? readonly string[]
      : string | undefined;
};

type Camel<Name extends string> = Name extends `${infer Head}-${infer Tail}`
  ? `${Head}${Capitalize<Camel<Tail>>}`
  : Name;

/** What every command understands. */
export const COMMON_FLAGS = {
  help: { type: "boolean", about: "show this help" },
  env: {
    type: "string",
    value: "NAME",
    about: "environment, a folder of terraform/envs (default k3s-single)",
  },
  sandbox: { type: "boolean", about: "use the embedded Proxmox node instead of a real one" },
  yes: { type: "boolean", about: "answer questions with yes" },
  json: { type: "boolean", about: "print events as JSON lines" },
  "dry-run": { type: "boolean", about: "show the steps, do nothing" },
  verbose: { type: "boolean", about: "show what goes on inside, and stack traces" },
} as const satisfies FlagSpecs;

export type CommonFlags = Flags<typeof COMMON_FLAGS>;

/**
 * Parse a command line.
 * @param argv the words after the command's name
 * @param specs the command's own flags
 * @param positionals the names of its positional arguments; all are needed
 * @throws {UsageError} for an unknown flag, a missing value, too few or too many arguments
 */
export function parseFlags<Specs extends FlagSpecs>(
  argv: readonly string[],
  specs: Specs,
  positionals: readonly string[],
  usage: string,
): { flags: CommonFlags & Flags<Specs>; args: string[] } {
  const all: FlagSpecs = { ...COMMON_FLAGS, ...specs };
  const options = Object.fromEntries(
    Object.entries(all).map(([name, { type, multiple }]) => [name, { type, multiple: multiple ?? false }]),
  );
  let parsed: { values: Record<string, unknown>; positionals: string[] };
  try {
    parsed = parseArgs({ args: [...argv], options, allowPositionals: true, strict: true });
  } catch (error) {
    // Node's message explains how to pass an argument that begins with a dash: not what people want.
    const [said = "Unknown option"] = messageOf(error).split(/\.\s/);
    throw wrongUsage(said.replace("argument is ambiguous", "argument missing"), usage);
  }
  // An empty value is most likely a shell variable that is not set; it must not pass for "not given".
  for (const [name, value] of Object.entries(parsed.values)) {
    if ([value].flat().includes("")) throw wrongUsage(`Option '--${name} <value>' argument missing`, usage);
  }
  const empty = parsed.positionals.indexOf("");
  if (empty !== -1) throw wrongUsage(`${positionals[empty] ?? "An argument"} is empty`, usage);
  const { help } = parsed.values;
  if (!help && parsed.positionals.length < positionals.length) {
    throw wrongUsage(`${positionals[parsed.positionals.length]} is missing`, usage);
  }
  if (!help && parsed.positionals.length > positionals.length) {
    throw wrongUsage(`"${parsed.positionals[positionals.length]}" is one argument too many`, usage);
  }
  const flags = Object.fromEntries(
    Object.entries(all).map(([name, { type, multiple }]) => [
      camel(name),
      parsed.values[name] ?? (multiple ? [] : type === "boolean" ? false : undefined),
    ]),
  );
  return { flags: flags as CommonFlags & Flags<Specs>, args: parsed.positionals };
}

function camel(name: string): string {
  return name.replace(/-([a-z])/g, (_all, letter: string) => letter.toUpperCase());
}

function wrongUsage(why: string, usage: string): UsageError {
  return new UsageError({ what: "The command line was not understood", why, todo: [`$ ${usage} --help`] });
}
