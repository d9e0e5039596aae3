import { createInterface } from "node:readline";
import { type RunResult, start } from "../process.ts";

/** How long an interrupted tofu may take to write its state: a clone under way is waited for by nobody longer. */
const GRACE_MS = 60_000;

interface GentleOptions {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal | undefined;
  /** Called for each line of stdout as it arrives. */
  readonly onLine?: (line: string) => void;
}

/**
 * Run a program that must be asked to stop, not killed. tofu answers an interrupt by ending what is under way and
 * writing its state; a signal to the whole group would take its provider away in the middle of a call, and what that
 * was making would be in no state.
 * @returns its output, whatever the exit code
 */
export async function runGently(
  program: string,
  args: readonly string[],
  { cwd, env, signal, onLine }: GentleOptions,
): Promise<RunResult> {
  const child = start(program, args, { cwd, env });
  child.stdin.end();
  const lines = onLine && createInterface({ input: child.stdout }).on("line", onLine);
  let killer: NodeJS.Timeout | undefined;
  const interrupt = (): void => {
    if (child.pid === undefined) return;
    // The program alone gets the signal: it has a process group of its own with its provider.
    process.kill(child.pid, "SIGINT");
    killer = setTimeout(() => void child.kill("SIGKILL"), GRACE_MS);
  };
  signal?.addEventListener("abort", interrupt, { once: true });
  try {
    const { stdout, stderr, exitCode } = await child;
    return { stdout, stderr, exitCode };
  } finally {
    signal?.removeEventListener("abort", interrupt);
    clearTimeout(killer);
    lines?.close();
  }
}
