import { createInterface } from "node:readline";
import { type RunResult, start } from "./process.ts";
import { beginToolLog } from "./tool-log.ts";

/** How long an interrupted program may take: a clone under way ends on the node anyway, and has to get into tofu's state. */
const GRACE_MS = 15 * 60_000;

/** How long its output may go on once it has ended. */
const REST_MS = 2_000;

interface GentleOptions {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal | undefined;
  /** Called for each line of stdout as it arrives. */
  readonly onLine?: (line: string) => void;
  /** Told its process's number as it starts. */
  readonly onStart?: (pid: number) => void;
}

/**
 * Run a program that must be asked to stop, not killed. tofu answers an interrupt by letting its provider end what is
 * under way, and writes its state; Packer removes its build VM. Killed, they leave things that nobody knows of. So they
 * come to their end even when we are killed ourselves.
 * Where logs of tools are kept, what it logs goes there, and not into the result.
 * @returns its output, whatever the exit code
 */
export async function runGently(
  program: string,
  args: readonly string[],
  { cwd, env, signal, onLine, onStart }: GentleOptions,
): Promise<RunResult> {
  const log = beginToolLog(program, args);
  const child = start(program, args, { cwd, env: { ...env, ...log?.env }, outlivesUs: true });
  if (child.pid !== undefined) onStart?.(child.pid);
  child.stdin.end();
  // What it leaves running on purpose (the VM of a build that is kept) holds its output open: nobody waits for that.
  let rest: NodeJS.Timeout | undefined;
  child.child?.once("exit", () => {
    rest = setTimeout(() => {
      child.stdout.destroy();
      child.stderr.destroy();
    }, REST_MS);
  });
  const lines = onLine && createInterface({ input: child.stdout }).on("line", onLine);
  const said: string[] = [];
  const logged =
    log &&
    createInterface({ input: child.stderr }).on("line", (line) => {
      if (!log.line(line)) said.push(line);
    });
  let killer: NodeJS.Timeout | undefined;
  const interrupt = (): void => {
    if (child.pid === undefined) return;
    // The whole group, as a terminal does on Ctrl-C: providers and plugins know what to do.
    signalGroup(child.pid, "SIGINT");
    killer = setTimeout(signalGroup, GRACE_MS, child.pid, "SIGKILL");
  };
  signal?.addEventListener("abort", interrupt, { once: true });
  try {
    const { stdout, stderr, exitCode } = await child;
    log?.end(exitCode);
    return { stdout, stderr: log === undefined ? stderr : said.join("\n"), exitCode };
  } finally {
    signal?.removeEventListener("abort", interrupt);
    clearTimeout(killer);
    clearTimeout(rest);
    lines?.close();
    logged?.close();
  }
}

function signalGroup(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(-pid, name);
  } catch {
    // It has ended in the meantime.
  }
}
