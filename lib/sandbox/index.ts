import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { ProcessPromise } from "zx";
import { TaskError } from "../errors.ts";
import { start } from "../process.ts";
import { processIdentity } from "../process-identity.ts";
import { registerSecret } from "../secrets.ts";
import { runningSandbox, type SandboxEndpoints, type SandboxRecord } from "./endpoints.ts";
import { type FaultControl, type FaultRule, faultControl } from "./faults/index.ts";
import type { MissingProgram } from "./gitops/index.ts";
import { EXIT_ALREADY_SERVED } from "./instance-lock.ts";

export type { SandboxEndpoints } from "./endpoints.ts";
export { type FaultControl, type FaultRule, networkDelay, readFaults } from "./faults/index.ts";

/** A running sandbox, as the tasks see it: like a real node, at its addresses. */
export interface Sandbox {
  readonly dir: string;
  readonly endpoints: SandboxEndpoints;
  /** It ran before and goes on running when we end. */
  readonly attached: boolean;
  /** What fails on purpose; may be changed at any time. */
  readonly faults: FaultControl;
  /** End it, if we started it; resolves once its process is gone. */
  stop(): Promise<void>;
  /** Let it run on after this process has ended. */
  keep(): Promise<void>;
}

export interface StartOptions {
  /** Where its state lies; made when it is missing. */
  readonly dir: string;
  /** Gives up waiting. A sandbox that runs already is not ended by it: `stop` does that. */
  readonly signal?: AbortSignal;
  /** Receives what the sandbox's process says on stderr, line by line. */
  readonly log?: (line: string) => void;
  /** What fails on purpose, also in a sandbox that runs already. A new one begins without any. */
  readonly faults?: readonly FaultRule[];
  /** The release of Proxmox VE that a new node is, 9 when it is left out; one that is there already stays what it is. */
  readonly release?: 8 | 9;
}

/**
 * Where the sandbox of a clone keeps its state: a demo that was kept running comes before the sandbox itself.
 * @param root the repository's folder
 */
export function sandboxDirectory(root: string): string {
  const demo = demoDirectory(root);
  return runningSandbox(demo) === undefined ? join(root, ".homelab", "sandbox") : demo;
}

/** Where `demo` keeps the state of its fresh sandbox; it belongs to the demo alone. */
export function demoDirectory(root: string): string {
  return join(root, ".homelab", "demo");
}

/** Charts of our own in place of those that a machine cannot fetch, a folder each. */
export const STAND_IN_CHARTS = fileURLToPath(new URL("./stand-in-charts", import.meta.url));

/**
 * Which of Argo CD's controllers run in a sandbox: the application controller and the repo server, without which it
 * syncs nothing.
 * @param dir the sandbox's
 * @returns their version; undefined when they do not run
 */
export async function syncingArgo(dir: string): Promise<string | undefined> {
  const { runningControllers } = await import("./gitops/index.ts");
  return runningSandbox(dir) === undefined ? undefined : runningControllers(dir)?.version;
}

/** What is not on this machine and would make a sandbox's Argo CD sync, with the command that gets it. */
export async function missingForSync(): Promise<readonly MissingProgram[]> {
  const { locateGitOpsPrograms } = await import("./gitops/index.ts");
  const found = await locateGitOpsPrograms();
  return "argocd" in found ? [] : found;
}

const MAIN = fileURLToPath(new URL("./main.ts", import.meta.url));
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 15_000;

/**
 * Start the embedded node in a process of its own and wait until it serves, or attach to the one that serves the
 * directory already. Its process ends with ours, unless `keep` is called.
 * @throws {TaskError} when it does not come up
 */
export async function startSandbox(options: StartOptions): Promise<Sandbox> {
  const { dir, signal } = options;
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < deadline) {
    signal?.throwIfAborted();
    const running = runningSandbox(dir);
    if (running) return prepared(attached(dir, running), options);
    const child = launch(options);
    const record = await readiness(dir, child, options, deadline);
    if (record) return prepared(owned(dir, record, child), options);
    // Somebody else was quicker and is still starting.
    await sleep(200, undefined, { ...(signal ? { signal } : {}) });
  }
  throw notStarted(dir, "it was not ready in time");
}

function prepared(sandbox: Sandbox, { faults }: StartOptions): Sandbox {
  if (faults !== undefined) sandbox.faults.set(faults);
  return sandbox;
}

/** Whether a sandbox serves the directory. */
export function isRunning(dir: string): boolean {
  return runningSandbox(dir) !== undefined;
}

/**
 * End a sandbox that was kept running, whoever started it; resolves once its process is gone.
 * @returns false when none serves the directory
 */
export async function endSandbox(dir: string): Promise<boolean> {
  const record = runningSandbox(dir);
  if (record === undefined) return false;
  process.kill(record.pid, "SIGTERM");
  const deadline = Date.now() + STOP_TIMEOUT_MS;
  while (processIdentity(record.pid) === record.identity) {
    if (Date.now() > deadline) process.kill(record.pid, "SIGKILL");
    await sleep(100);
  }
  return true;
}

/**
 * Remove a sandbox that nobody serves: what a killed one has left running is ended, then its folder goes.
 * @param dir the sandbox's
 */
export async function removeSandbox(dir: string): Promise<void> {
  const { endLeftControllers } = await import("./gitops/index.ts");
  const { ControlPlane } = await import("./control-plane/index.ts");
  await endLeftControllers(join(dir, "cluster", "argocd"));
  await ControlPlane.endLeftovers(join(dir, "cluster"));
  await rm(dir, { recursive: true, force: true });
}

function launch({ dir, log, release = 9 }: StartOptions): ProcessPromise {
  const child = start(process.execPath, ["--import", import.meta.resolve("tsx"), MAIN, dir, String(release)]);
  if (log) {
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      for (const line of text.split("\n")) if (line !== "") log(line);
    });
  }
  return child;
}

/** The record of the started process, or undefined when another process has the directory. */
async function readiness(
  dir: string,
  child: ProcessPromise,
  { signal }: StartOptions,
  deadline: number,
): Promise<SandboxRecord | undefined> {
  const ready = new Promise<"ready">((resolve) => {
    child.stdout.on("data", (text: Buffer) => {
      if (text.includes("ready")) resolve("ready");
    });
  });
  const timer = new AbortController();
  const limits = [timer.signal, ...(signal ? [signal] : [])];
  const tooLong = sleep(Math.max(0, deadline - Date.now()), "late" as const, {
    signal: AbortSignal.any(limits),
  }).catch(() => "aborted" as const);
  const ended = child.then((output) => output);
  const first = await Promise.race([ready, tooLong, ended]);
  timer.abort();
  if (first === "ready") return runningSandbox(dir);
  if (first === "late" || first === "aborted") {
    await child.kill("SIGTERM").catch(() => {});
    signal?.throwIfAborted();
    throw notStarted(dir, "it was not ready in time");
  }
  if (first.exitCode === EXIT_ALREADY_SERVED) return undefined;
  throw notStarted(dir, first.stderr.trim() || `its process ended with exit code ${first.exitCode}`);
}

function attached(dir: string, { endpoints }: SandboxRecord): Sandbox {
  registerSecret(endpoints.tokenSecret);
  return {
    dir,
    endpoints,
    attached: true,
    faults: faultControl(dir),
    stop: async () => {},
    keep: async () => {},
  };
}

function owned(dir: string, { endpoints }: SandboxRecord, child: ProcessPromise): Sandbox {
  registerSecret(endpoints.tokenSecret);
  let kept = false;
  return {
    dir,
    endpoints,
    attached: false,
    faults: faultControl(dir),
    stop: async () => {
      if (kept) return;
      // It ends when its stdin does; the signal is for one that hangs.
      child.stdin.end();
      const late = setTimeout(() => void child.kill("SIGKILL").catch(() => {}), STOP_TIMEOUT_MS);
      await child;
      clearTimeout(late);
    },
    keep: async () => {
      kept = true;
      await new Promise<void>((resolve) => child.stdin.end("keep\n", () => resolve()));
      child.stdout.destroy();
      child.stderr.destroy();
      child.child?.unref();
    },
  };
}

function notStarted(dir: string, why: string): TaskError {
  return new TaskError({
    what: "The sandbox did not start",
    why,
    todo: [`Its log is ${dir}/sandbox.log`, "Begin afresh by removing its state:", `$ rm -rf ${dir}`],
  });
}
