import { existsSync } from "node:fs";
import { refusalOf } from "../refusal.ts";
import { type Process, write } from "../shell/index.ts";

/** The words of a PVE command line, taken apart. */
export interface CommandLine {
  readonly positionals: readonly string[];
  readonly options: Readonly<Record<string, string>>;
}

/** The exit codes of messages that a command has for itself; the first that fits counts. */
export type ExitCodes = readonly (readonly [
  RegExp,
  number | ((process: Process, found: string) => number),
])[];

/** The command line is wrong; said the way PVE's tools say it. */
export class CliUsageError extends Error {
  override readonly name = "CliUsageError";
}

/**
 * Take a command line apart as PVE's tools do: "--name value", "-name value", "--name=value"; a flag without a value
 * counts as 1.
 * @param known whether an option exists
 * @throws {CliUsageError} for an unknown option or too few words
 */
export function parseCli(
  args: readonly string[],
  { positionals, known }: { positionals: number; known: (option: string) => boolean },
): CommandLine {
  const words: string[] = [];
  const options: Record<string, string> = {};
  for (let at = 0; at < args.length; at += 1) {
    const word = args[at] ?? "";
    const match = /^--?([a-zA-Z][\w-]*)(?:=(.*))?$/s.exec(word);
    const name = match?.[1];
    if (name === undefined) {
      words.push(word);
      continue;
    }
    if (!known(name)) throw new CliUsageError(`Unknown option: ${name}\n400 unable to parse option`);
    const next = args[at + 1];
    if (match?.[2] !== undefined) options[name] = match[2];
    else if (next === undefined || /^--?[a-zA-Z]/.test(next)) options[name] = "1";
    else {
      options[name] = next;
      at += 1;
    }
  }
  if (words.length < positionals) throw new CliUsageError("400 not enough arguments");
  if (words.length > positionals) throw new CliUsageError("400 too many arguments");
  return { positionals: words, options };
}

/**
 * Say a failure as PVE's tools do.
 * @param usage the usage line that follows complaints about the command line
 * @param codes exit codes of this command alone
 * @returns the exit code
 */
export async function sayFailure(
  process: Process,
  error: unknown,
  usage: string,
  codes: ExitCodes = [],
): Promise<number> {
  if (error instanceof CliUsageError) {
    await write(process.stderr, `${error.message}\n${usage}\n`);
    return 255;
  }
  const refusal = refusalOf(error);
  if (refusal === undefined) throw error;
  const { status, message, errors } = refusal;
  if (errors !== undefined) {
    const lines = Object.entries(errors).map(([name, complaint]) => `${name}: ${complaint}\n`);
    await write(process.stderr, `${status} ${message.trimEnd()}\n${lines.join("")}${usage}\n`);
    return 255;
  }
  await write(process.stderr, `${message.trimEnd()}\n`);
  for (const [pattern, code] of codes) {
    const match = pattern.exec(message);
    if (match !== null) return typeof code === "number" ? code : code(process, match[1] ?? "");
  }
  return exitCode(process, message);
}

/** A line of what an operation says: what comes from the programs below it went to their stderr. */
export function printLine({ stdout, stderr }: Pick<Process, "stdout" | "stderr">, line: string): void {
  (/^(?:qemu-img|kvm): /.test(line) ? stderr : stdout).write(`${line}\n`);
}

/** The tools end with the system's last error number, if there was one: 2 for a missing file, 25 after a lock. */
function exitCode({ files }: Process, message: string): number {
  if (
    /^(Configuration file|unable to find configuration file|unable to create VM \d+: config file)/.test(
      message,
    )
  ) {
    return 2;
  }
  if (/VM is running|is running - destroy failed/.test(message)) return 25;
  const [, path] = /^(.*): non-existent or non-regular file/.exec(message) ?? [];
  // Looking at what is there, a directory for instance, is no error of the system's.
  if (path !== undefined) return path.startsWith("/") && existsSync(files.toHost(path)) ? 255 : 2;
  return 255;
}

/** JSON in one line, keys sorted, as `--output-format json` has it. */
export function sortedJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) =>
    typeof item === "object" && item !== null && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
      : item,
  );
}

/** JSON as Perl's tools print it: three spaces, a space before each colon, keys sorted. */
export function perlJson(value: unknown, indent = ""): string {
  const inner = `${indent}   `;
  if (Array.isArray(value)) {
    if (value.length === 0) return "[]";
    return `[\n${value.map((item) => inner + perlJson(item, inner)).join(",\n")}\n${indent}]`;
  }
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    if (entries.length === 0) return "{}";
    const lines = entries.map(([key, item]) => `${inner}${JSON.stringify(key)} : ${perlJson(item, inner)}`);
    return `{\n${lines.join(",\n")}\n${indent}}`;
  }
  return JSON.stringify(value);
}
