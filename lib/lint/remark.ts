import * as v from "valibot";
import { TaskError } from "../errors.ts";
import { childEnv, type RunResult, run } from "../process.ts";

/** What a linter says about a place in a file. */
export interface Remark {
  /** Relative to where the linter was started. */
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly level: "error" | "warning";
  /** The rule's name, as its documentation has it. */
  readonly rule: string;
  readonly message: string;
}

/** How a linter is run. */
export interface LintOptions {
  /** Path of the linter. */
  readonly program: string;
  readonly cwd: string;
  readonly signal?: AbortSignal;
}

/** A remark as editors and terminals make a link of it. */
export function formatRemark({ file, line, column, rule, message }: Remark): string {
  return `${file}:${line}:${column}  ${message} (${rule})`;
}

/**
 * Run a linter to its end.
 * @param allow exit codes with which it has looked at everything, whatever it found
 * @throws {TaskError} in its own words when it could not do its work
 */
export async function lint(
  { program, cwd, signal }: LintOptions,
  args: readonly string[],
  allow: readonly number[],
): Promise<RunResult> {
  const result = await run(program, args, {
    cwd,
    env: childEnv({ LC_ALL: "C.UTF-8" }),
    allow: [...Array(256).keys()],
    ...(signal === undefined ? {} : { signal }),
  });
  if (allow.some((code) => code === result.exitCode)) return result;
  throw new TaskError({
    what: `${program} ended with exit code ${result.exitCode ?? "none (signal)"}`,
    why: result.stderr.trim() || result.stdout.trim() || "it gave no reason",
    todo: ["See whether it runs at all:", `$ ${program} --version`],
  });
}

/**
 * Read what a linter printed as JSON.
 * @throws {TaskError} when it is something else
 */
export function parseReport<const Schema extends v.GenericSchema>(
  schema: Schema,
  program: string,
  { stdout, stderr }: RunResult,
): v.InferOutput<Schema> {
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), schema), stdout);
  if (parsed.success) return parsed.output;
  throw new TaskError({
    what: `${program} printed something else than its report`,
    why: (stderr.trim() || stdout.trim()).slice(0, 2000) || "it printed nothing",
    todo: ["See which version it is:", `$ ${program} --version`],
  });
}
