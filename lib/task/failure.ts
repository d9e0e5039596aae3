import { styleText } from "node:util";
import { messageOf, TaskError } from "../errors.ts";
import { redact } from "../secrets.ts";

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
  const lines = [`${paint("red", "✖")} ${paint("bold", failure.what)}`];
  if (failure.why) lines.push(...block("Why", failure.why.split("\n"), paint));
  if (failure.todo.length > 0) lines.push(...block("What to do now", failure.todo, paint));
  if (failure.left.length > 0) lines.push(...block("What was left or rolled back", failure.left, paint));
  if (verbose) lines.push("", ...stacks(error));
  return redact(lines.join("\n"));
}

/**
 * The same failure with commands that are about the same node and environment as this run.
 * @param flags of this run: "--sandbox", "--env NAME"
 */
export function forSameRun(error: unknown, flags: readonly string[]): unknown {
  if (!(error instanceof TaskError) || flags.length === 0) return error;
  return error.withTodo(
    error.todo.map((line) =>
      line
        .split("\n")
        .map((each) => withFlags(each, flags))
        .join("\n"),
    ),
  );
}

function withFlags(line: string, flags: readonly string[]): string {
  const [, command, given = ""] = /^(\s*\$ npm run [a-z0-9-]+)(?: -- (.*))?$/.exec(line) ?? [];
  if (command === undefined) return line;
  const missing = flags.filter((flag) => !given.includes(flag.split(" ")[0] ?? flag));
  return [command, "--", ...missing, given].filter((word) => word !== "").join(" ");
}

/** The same failure for machines. */
export function failureEvent(error: unknown): Record<string, unknown> {
  const { what, why, todo, left, data, exitCode } = asTaskError(error);
  return { ...data, ok: false, exitCode, error: { what, why: why ?? null, todo, left } };
}

function asTaskError(error: unknown): TaskError {
  if (error instanceof TaskError) return error;
  return new TaskError({
    what: "This is a bug in homelab",
    why: messageOf(error),
    todo: ["Run it again with --verbose and report what it shows"],
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
    ...lines.flatMap((line) => line.split("\n")).map((line) => `    ${line}`),
  ];
}

function stacks(error: unknown): string[] {
  const lines: string[] = [];
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    lines.push(cause.stack ?? cause.message);
  return lines;
}
