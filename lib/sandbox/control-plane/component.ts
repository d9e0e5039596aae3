import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { childEnv } from "../../process.ts";
import { processIdentity } from "../../process-identity.ts";
import { readIfThere, removeIfThere, writeFileAtomic } from "../world/index.ts";

/** How long a program may take to end in order. */
const END_MS = 5_000;

/** What a program finds around it. */
export interface Surroundings {
  /** Variables beside those that every child of ours gets. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** One program of the control plane, with its log and a record of its process on disk. */
export class Component {
  readonly name: string;
  readonly #dir: string;
  #child: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();
  #died: Promise<void> = new Promise(() => {});
  /** It was told to end. */
  #ending = false;

  constructor(name: string, dir: string) {
    this.name = name;
    this.#dir = dir;
  }

  /** Whether it is running. */
  get running(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Resolves when it ends without having been told to. */
  get died(): Promise<void> {
    return this.#died;
  }

  /** Start it; its output goes to its log. What a killed sandbox has left running is ended first. */
  async start(
    program: string,
    args: readonly string[],
    { env: more, cwd }: Surroundings = {},
  ): Promise<void> {
    await this.endLeftover();
    const log = openSync(this.#logFile, "w", 0o600);
    // Go's collector keeps twice the live heap by default; the sandbox shares a small machine.
    const env = childEnv({ GOGC: "60", ...more });
    const child = spawn(program, args, { stdio: ["ignore", log, log], env, cwd });
    closeSync(log);
    this.#child = child;
    this.#ended = new Promise((resolve) => {
      child.once("exit", () => resolve());
      child.once("error", () => resolve());
    });
    this.#ending = false;
    this.#died = new Promise((resolve) => {
      void this.#ended.then(() => {
        if (!this.#ending) resolve();
      });
    });
    if (child.pid !== undefined) {
      writeFileAtomic(this.#pidFile, `${child.pid} ${processIdentity(child.pid)}\n`);
    }
  }

  /** End it, in order if it lets itself, or at once with SIGKILL. */
  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    this.#ending = true;
    if (this.running) {
      child.kill(signal);
      const late = setTimeout(() => child.kill("SIGKILL"), END_MS);
      await this.#ended;
      clearTimeout(late);
    }
    this.#child = undefined;
    removeIfThere(this.#pidFile);
  }

  /** End the process that an earlier sandbox, killed without a chance to clean up, has left. */
  async endLeftover(): Promise<void> {
    const text = readIfThere(this.#pidFile);
    if (text === undefined) return;
    const pid = Number(text.split(" ", 1)[0]);
    while (text === `${pid} ${processIdentity(pid)}\n`) {
      process.kill(pid, "SIGKILL");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    removeIfThere(this.#pidFile);
  }

  /** The last lines of its log, for errors. */
  lastLines(count = 8): string {
    return readFileSync(this.#logFile, "utf8").trimEnd().split("\n").slice(-count).join("\n");
  }

  get #logFile(): string {
    return join(this.#dir, `${this.name}.log`);
  }

  get #pidFile(): string {
    return join(this.#dir, `${this.name}.pid`);
  }
}
