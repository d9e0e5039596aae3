import { stripVTControlCharacters, styleText } from "node:util";
import { messageOf, TaskError } from "../errors.ts";
import { redact } from "../secrets.ts";
import type { CommonFlags } from "./flags.ts";

/** How a failure is shown. */
export interface FailureStyle {
  readonly color: boolean;
  /** --verbose: with stack traces. */
  readonly verbose: boolean;
}

/** A failure as a person reads it: what failed, why, what to do now, what was left or rolled back. */
export function formatFailure(error: unknown, { color, verbose }: FailureStyle): string {
  const paint = (format: "red" | "bold" | "dim", text: string): string =>
    color ? styleText(format, text) : text;
  const failure = asTaskError(error);
  const lines = [`${paint("red", "✖")} ${paint("bold", plain(failure.what))}`];
  if (failure.why) lines.push(...block("Why", failure.why.split("\n"), paint));
  if (failure.todo.length > 0) lines.push(...block("What to do now", failure.todo, paint));
  if (failure.left.length > 0) lines.push(...block("What was left or rolled back", failure.left, paint));
  if (verbose) lines.push("", ...stacks(error));
  return redact(lines.join("\n"));
}

/** What makes a run be about one node and environment. */
export type RunFlags = Pick<CommonFlags, "sandbox" | "env">;

/** The same failure with commands that are about the same node and environment as this run. */
export function forSameRun(error: unknown, flags: RunFlags): unknown {
  if (!(error instanceof TaskError)) return error;
  return error.withTodo(sameRun(error.todo, flags));
}

/** Commands and sentences, the commands about the same node and environment as this run. */
export function sameRun(lines: readonly string[], { sandbox, env }: RunFlags): string[] {
  const flags = [...(sandbox ? ["--sandbox"] : []), ...(isWord(env) ? [`--env ${env}`] : [])];
  return lines.map((line) =>
    line
      .split("\n")
      .map((each) => withFlags(each, flags))
      .join("\n"),
  );
}

/** An environment's name; what was refused as one does not come back in a command to paste. */
function isWord(env: string | undefined): env is string {
  return env !== undefined && /^[\w-]+$/.test(env);
}

/** Commands that are about this machine, or have a node of their own. */
const ANY_NODE = new Set(["setup", "sandbox", "demo"]);

function withFlags(line: string, flags: readonly string[]): string {
  const [, command, name = "", given = ""] = /^(\s*\$ npm run ([a-z0-9-]+))(?: -- (.*))?$/.exec(line) ?? [];
  if (command === undefined || ANY_NODE.has(name)) return line;
  const missing = flags.filter((flag) => !given.includes(flag.split(" ")[0] ?? flag));
  if (given === "" && missing.length === 0) return line;
  return [command, "--", ...missing, given].filter((word) => word !== "").join(" ");
}

/** The same failure for machines. */
export function failureEvent(error: unknown): Record<string, unknown> {
  const { what, why, todo, left, data, exitCode } = asTaskError(error);
  return { ...data, ok: false, exitCode, error: { what, why: why ?? null, todo, left } };
}

function asTaskError(error: unknown): TaskError {
  return error instanceof TaskError ? error : bugOf(error);
}

/** The failure of something that nobody expected to be thrown. */
export function bugOf(error: unknown): TaskError {
  return new TaskError({
    what: "This is a bug in homelab",
    why: messageOf(error),
    todo: ["Run it again with --verbose and report what it shows"],
    cause: error,
  });
}

function block(
  title: string,
  lines: readonly string[],
  paint: (format: "dim", text: string) => string,
): string[] {
  return [
    "",
    `  ${paint("dim", title)}`,
    ...lines.flatMap((line) => line.split("\n")).map((line) => `    ${plain(line)}`),
  ];
}

/** What others say, for a terminal: it is neither coloured nor steered by it. Line breaks and tabs stay. */
export function plain(text: string): string {
  return stripVTControlCharacters(text).replace(
    /[^\P{Cc}\n\t]/gu,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function stacks(error: unknown): string[] {
  const lines: string[] = [];
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    lines.push(plain(cause.stack ?? cause.message));
  return lines;
}
