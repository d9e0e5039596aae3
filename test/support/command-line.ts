import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { childEnv } from "../../lib/process.ts";

/** The command of the tests, which does what it is asked for. */
export const TRY_OUT = fileURLToPath(new URL("../fixtures/commands/try-out.ts", import.meta.url));

/** What a command came to. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that runs. */
export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** Resolves with what the expression matched in either stream, once it does. */
  until(expected: RegExp): Promise<RegExpExecArray>;
}

/** Start a program and listen to it; stdin stays open for the caller's keys. */
export function startCommand(
  file: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Running {
  const child = spawn(file, args, {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...childEnv(options.env) },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const text = { stdout: "", stderr: "" };
  const heard = new Set<() => void>();
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (data: string) => {
      text[name] += data;
      for (const listener of heard) listener();
    });
  }
  // A program that has ended reads no more keys.
  child.stdin.on("error", () => {});
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, ...text }));
  });
  return {
    child,
    ended,
    until: async (expected) =>
      await new Promise((resolve, reject) => {
        const look = (): void => {
          const match = expected.exec(text.stdout) ?? expected.exec(text.stderr);
          if (match === null) return;
          heard.delete(look);
          resolve(match);
        };
        heard.add(look);
        look();
        child.once("close", () => reject(new Error(`it never said ${expected}: ${JSON.stringify(text)}`)));
      }),
  };
}

/** Start a command file as `npm run` does, but without a process in between. */
export function startTask(file: string, ...args: string[]): Running {
  return startCommand(process.execPath, ["--import", "tsx", file, ...args]);
}

/** Run a command file to its end. */
export async function runTask(file: string, ...args: string[]): Promise<Ended> {
  const { child, ended } = startTask(file, ...args);
  child.stdin?.end();
  return await ended;
}
