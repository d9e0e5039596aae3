import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as v from "valibot";
import { TaskError } from "../../lib/errors.ts";
import { childEnv } from "../../lib/process.ts";
import { eventsOf, type WorkingCopy } from "./working-copy.ts";

const schema = v.object({
  ok: v.literal(false),
  exitCode: v.number(),
  error: v.object({
    what: v.string(),
    why: v.nullable(v.string()),
    todo: v.array(v.string()),
    left: v.array(v.string()),
  }),
});

/** What a command that failed tells the person; todo and left line by line. */
export interface Refusal {
  readonly what: string;
  readonly why: string;
  readonly todo: string;
  readonly left: string;
  readonly exitCode: number;
  /** Everything else it said on stderr. */
  readonly stderr: string;
}

/** Run a command that has to fail. */
export async function refusalOf(
  copy: WorkingCopy,
  task: string,
  flags: readonly string[],
  env: Record<string, string> = {},
): Promise<Refusal> {
  const result = await copy.task(task, ["--json", ...flags], env);
  const last = v.safeParse(schema, eventsOf(result).at(-1));
  assert.ok(last.success, `${task} did not fail as it should: ${result.stdout}\n${result.stderr}`);
  const { error, exitCode } = last.output;
  assert.equal(result.exitCode, exitCode);
  return {
    what: error.what,
    why: error.why ?? "",
    todo: error.todo.join("\n"),
    left: error.left.join("\n"),
    exitCode,
    stderr: result.stderr,
  };
}

/** The TaskError that something ends with. */
export async function errorOf(action: Promise<unknown>): Promise<TaskError> {
  const error = await action.then(
    () => assert.fail("it did not fail"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof TaskError, String(error));
  return error;
}

/** The commands that a text advises, ready to paste. */
export function commandsIn(text: string): string[] {
  return text.split("\n").flatMap((line) => /^\s*\$ (.*)$/.exec(line)?.[1] ?? []);
}

interface PasteOptions {
  /** In front of PATH. */
  readonly folders?: readonly string[];
  readonly cwd?: string;
  readonly shell?: string;
}

/** Paste a command into a shell, as a person does. */
export function paste(
  command: string,
  { folders = [], cwd, shell = "/bin/sh" }: PasteOptions = {},
): { readonly exit: number | null; readonly stdout: string; readonly stderr: string } {
  const { status, stdout, stderr } = spawnSync(shell, ["-c", command], {
    encoding: "utf8",
    env: childEnv({ PATH: [...folders, process.env.PATH].join(":"), SSH_AUTH_SOCK: undefined }),
    timeout: 60_000,
    ...(cwd === undefined ? {} : { cwd }),
  });
  return { exit: status, stdout, stderr };
}
