import type { Readable } from "node:stream";
import { $, type ProcessPromise, quote } from "zx";
import { lineRedactor, redact } from "./secrets.ts";

/** How a child process is run. */
export interface RunOptions {
  readonly cwd?: string;
  /** The child's whole environment; `childEnv()` when it is left out. */
  readonly env?: NodeJS.ProcessEnv;
  /** Written to the child's stdin; without it stdin is empty. */
  readonly input?: string | Buffer | Readable;
  /** Ends the child (and its children) with SIGTERM, and with SIGKILL once `graceMs` have passed. */
  readonly signal?: AbortSignal;
  /** Milliseconds the child may take to end in order; ten seconds when left out. */
  readonly graceMs?: number;
  /** Called for each line as it arrives, secrets removed. */
  readonly onLine?: (line: string, stream: "stdout" | "stderr") => void;
  /** Milliseconds after which the child is ended. */
  readonly timeoutMs?: number;
  /** Should we be killed, its output goes nowhere: else its next line would end it, whatever it is in the middle of. */
  readonly outlivesUs?: boolean;
  /** Exit codes that are no failure; 0 alone when left out. */
  readonly allow?: readonly number[];
}

/** What a finished child process left. */
export interface RunResult {
  readonly stdout: string;
  readonly stderr: string;
  /** null when a signal ended it. */
  readonly exitCode: number | null;
}

/** A child process that ended with an exit code nobody allowed. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly file: string;
  readonly args: readonly string[];
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;

  constructor(file: string, args: readonly string[], result: RunResult) {
    const words = lastLines(result.stderr || result.stdout, 12);
    super(redact(words || `${file} ended with exit code ${result.exitCode ?? "none (signal)"}`));
    this.file = file;
    this.args = args;
    this.exitCode = result.exitCode;
    this.stdout = redact(result.stdout);
    this.stderr = redact(result.stderr);
  }
}

/** Prefixes of variables that would change what our tools do behind our back. */
const NOT_INHERITED =
  /^(BASH_ENV$|TF_(?!LOG)|TOFU_|PKR_|PACKER_|KUBECONFIG$|KUBECTL_|HELM_|KUSTOMIZE_|PM_|NODE_OPTIONS$|GIT_(DIR|WORK_TREE|INDEX_FILE)$)/;

/**
 * The environment for a child: ours without what steers OpenTofu, Packer, kubectl, Helm and Kustomize, and without
 * our own settings, so that a stray variable cannot redirect a task and no secret reaches a tool that has no use for it.
 * @param extra variables to add; `undefined` removes one
 */
export function childEnv(extra: Readonly<Record<string, string | undefined>> = {}): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (!NOT_INHERITED.test(name)) env[name] = value;
  }
  for (const [name, value] of Object.entries(extra)) {
    if (value === undefined) delete env[name];
    else env[name] = value;
  }
  return env;
}

/**
 * Shell words before a program's: what it prints goes through a cat, and once nobody reads that one's output any more,
 * through a second one to nowhere. An interrupt of the group is the program's alone.
 */
const DRAINED =
  "set -euo pipefail; drain() { trap '' INT TERM; cat || :; exec cat >/dev/null; }; exec > >(drain) 2> >(drain >&2); ";

let watcher: ((commandLine: string) => void) | undefined;

/** Longer command lines are cut: scripts that are handed to a shell on the node fill screens. */
const SHOWN_LENGTH = 400;

/**
 * Have every child's command line told as it starts, secrets removed; undefined ends that.
 * @param tell receives it as it would be typed, with the folder it runs in where that is another one
 */
export function watchCommands(tell: ((commandLine: string) => void) | undefined): void {
  watcher = tell;
}

function shownCommand(file: string, args: readonly string[], cwd: string | undefined): string {
  const [line = "", ...more] = redact([file, ...args].map((word) => quote(word)).join(" ")).split("\n");
  const cut = more.length > 0 || line.length > SHOWN_LENGTH ? `${line.slice(0, SHOWN_LENGTH)} …` : line;
  return cwd === undefined || cwd === process.cwd() ? cut : `${cut}  # in ${cwd}`;
}

/**
 * Start a child process whose stdin and stdout the caller drives.
 * @param file program, by name or path
 * @param args its arguments, each passed through intact
 * @throws {Error} for a NUL, which no argument can hold
 */
export function start(file: string, args: readonly string[], options: RunOptions = {}): ProcessPromise {
  // The shell in between would end the argument there.
  if ([file, ...args].some((word) => word.includes("\0")))
    throw new Error("an argument cannot hold a NUL character");
  watcher?.(shownCommand(file, args, options.cwd));
  const child = $({
    quiet: true,
    verbose: false,
    nothrow: true,
    detached: true,
    stdio: ["pipe", "pipe", "pipe"],
    killSignal: "SIGTERM",
    env: withShellLevel(options.env ?? childEnv()),
    ...(options.outlivesUs ? { prefix: DRAINED } : {}),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    ...(options.timeoutMs === undefined ? {} : { timeout: options.timeoutMs }),
  })`${file} ${args}`;
  // A child may end before it has read its input: that shows in its exit code, not as a crash of ours.
  child.stdin?.on("error", () => {});
  const { signal, graceMs = 10_000 } = options;
  if (signal !== undefined) {
    const end = (): void => killLater(child, graceMs);
    signal.addEventListener("abort", end, { once: true });
    // A long task starts many children with the one signal.
    void child.finally(() => signal.removeEventListener("abort", end));
  }
  return child;
}

/**
 * zx starts children by way of bash, with a socket as stdin. Where nothing counts shells (under systemd, in containers),
 * bash takes that for a remote login and reads ~/.bashrc, which may change PATH and print what it likes.
 */
function withShellLevel(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Number(env.SHLVL ?? 0) >= 1 ? env : { ...env, SHLVL: "1" };
}

function killLater(child: ProcessPromise, graceMs: number): void {
  const timer = setTimeout(() => {
    try {
      // The negative number means the child's whole process group: it was started detached.
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    } catch {
      // It has ended in the meantime.
    }
  }, graceMs);
  void child.finally(() => clearTimeout(timer));
}

/**
 * Run a program to its end.
 * @returns what it printed; secrets are still in it
 * @throws {CommandError} for an exit code that is not allowed
 */
export async function run(
  file: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  options.signal?.throwIfAborted();
  const child = start(file, args, options);
  if (child.child === undefined) {
    // It could not even be started: too much in its arguments or environment, or a NUL in it.
    const { cause, stderr } = await child;
    // Node.js would show the value, too.
    const why = (cause?.message ?? stderr).replace(/\. Received [\s\S]*/, "");
    throw new Error(redact(`${file} cannot be started: ${why}`));
  }
  // A letter of several bytes may come in two pieces.
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8");
  if (options.onLine) {
    const { onLine } = options;
    const [clean, cleanError] = [lineRedactor(), lineRedactor()];
    splitLines(child.stdout, (line) => onLine(clean(line), "stdout"));
    splitLines(child.stderr, (line) => onLine(cleanError(line), "stderr"));
  }
  const { input } = options;
  if (input !== undefined && typeof input !== "string" && !Buffer.isBuffer(input)) input.pipe(child.stdin);
  else child.stdin.end(input);

  const output = await child;
  const result: RunResult = { stdout: output.stdout, stderr: output.stderr, exitCode: output.exitCode };
  options.signal?.throwIfAborted();
  if (!(options.allow ?? [0]).some((code) => code === result.exitCode)) {
    throw new CommandError(file, args, result);
  }
  return result;
}

function splitLines(stream: Readable, onLine: (line: string) => void): void {
  let rest = "";
  stream.on("data", (chunk: string) => {
    const lines = (rest + chunk).split(/\r?\n|\r/);
    rest = lines.pop() ?? "";
    for (const line of lines) onLine(line);
  });
  stream.on("end", () => {
    if (rest) onLine(rest);
  });
}

function lastLines(text: string, count: number): string {
  return text.trimEnd().split("\n").slice(-count).join("\n");
}
