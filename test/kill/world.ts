import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { createSparseQcow2 } from "../../lib/proxmox/index.ts";
import { type Sandbox, startSandbox } from "../../lib/sandbox/index.ts";
import { type EventLine, WorkingCopy } from "../support/working-copy.ts";
import { type Kill, pathOf } from "./plan.ts";
import { killAll, RUN_VARIABLE } from "./processes.ts";

const DEPLOY = ["--sandbox", "--yes", "--json"];
/** No run takes as long, on however busy a machine. */
const PATIENCE_MS = 10 * 60_000;

/** How a run of a task has ended. */
export interface Ended {
  readonly events: readonly EventLine[];
  readonly stderr: string;
  /** null when it was killed. */
  readonly exitCode: number | null;
}

/** A working copy, its temporary folder and its sandbox: made once, emptied for each kill. */
export class KillWorld {
  readonly copy = new WorkingCopy();
  /** Nobody else puts anything there. */
  readonly temporary = join(this.copy.home, "tmp");
  readonly dir = join(this.copy.root, ".homelab", "sandbox");
  readonly image = join(this.copy.home, "image.qcow2");
  readonly #signal: AbortSignal;
  #sandbox: Sandbox | undefined;
  #runs = 0;

  /** @param signal ends the run that is under way, and with it the test */
  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  async prepare(): Promise<void> {
    mkdirSync(this.temporary);
    await createSparseQcow2(this.image, 2 * 1024 ** 3);
  }

  /** A node with nothing on it, and nothing of earlier runs. */
  async reset(): Promise<void> {
    await this.stopSandbox();
    for (const path of [
      join(this.copy.root, ".homelab"),
      `${this.image}.json`,
      ...this.temporaryFiles().map((name) => join(this.temporary, name)),
    ])
      rmSync(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  }

  /** The node, as a process of its own. */
  async sandbox(): Promise<Sandbox> {
    if (this.#sandbox !== undefined) return this.#sandbox;
    // Its programs are not the runs'.
    const before = process.env[RUN_VARIABLE];
    process.env[RUN_VARIABLE] = this.#nodeMark;
    try {
      this.#sandbox = await startSandbox({ dir: this.dir });
      return this.#sandbox;
    } finally {
      if (before === undefined) delete process.env[RUN_VARIABLE];
      else process.env[RUN_VARIABLE] = before;
    }
  }

  async stopSandbox(): Promise<void> {
    const sandbox = this.#sandbox;
    this.#sandbox = undefined;
    await sandbox?.stop();
  }

  /** The node loses its power. */
  killSandbox(): void {
    this.#sandbox = undefined;
    killAll(this.#nodeMark);
  }

  get #nodeMark(): string {
    return `${process.pid}-node`;
  }

  /** The mark of the run that was begun last. */
  get lastRun(): string {
    return `${process.pid}-${this.#runs}`;
  }

  /** Run a task to its end. */
  async task(name: string, flags: readonly string[]): Promise<Ended> {
    return await this.#run(name, flags, () => {});
  }

  async deploy(): Promise<Ended> {
    return await this.task("deploy", [...DEPLOY, "--image", this.image]);
  }

  /**
   * Begin to deploy, and kill it.
   * @returns how it ended: a run that was quicker than its killer has an exit code
   */
  async killedDeploy({ step, afterMs, victim }: Kill): Promise<Ended> {
    let killing = false;
    return await this.#run("deploy", [...DEPLOY, "--image", this.image], (event, child) => {
      if (killing || event.event !== "step" || event.state !== "started" || pathOf(event) !== step) return;
      killing = true;
      const kill = (): void => {
        // A process that was waited for has given its number back.
        if (child.exitCode !== null || child.pid === undefined) return;
        process.kill(child.pid, "SIGKILL");
        if (victim === "machine" || victim === "machine and node") killAll(this.lastRun);
        if (victim === "machine and node") this.killSandbox();
      };
      if (afterMs === 0) kill();
      else setTimeout(kill, afterMs);
    });
  }

  async #run(
    name: string,
    flags: readonly string[],
    onEvent: (event: EventLine, child: ChildProcess) => void,
  ): Promise<Ended> {
    this.#runs += 1;
    const child = spawn(process.execPath, ["--import", "tsx", join("tasks", `${name}.ts`), ...flags], {
      cwd: this.copy.root,
      env: this.copy.env({ TMPDIR: this.temporary, [RUN_VARIABLE]: this.lastRun }),
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
      signal: this.#signal,
    });
    const late = setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
    const events: EventLine[] = [];
    createInterface({ input: child.stdout }).on("line", (line) => {
      const event = eventIn(line);
      if (event === undefined) return;
      events.push(event);
      onEvent(event, child);
    });
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    const exitCode = await new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    }).finally(() => clearTimeout(late));
    return { events, stderr, exitCode };
  }

  /** What lies in the temporary folder, but for the cache of tsx, which keeps what it has compiled there. */
  temporaryFiles(): string[] {
    return readdirSync(this.temporary).filter((name) => !/^tsx-\d+$/.test(name));
  }

  async remove(): Promise<void> {
    await this.stopSandbox();
    killAll(this.#nodeMark);
    this.copy.remove();
  }
}

/** The last line of a killed run may be cut off. */
function eventIn(line: string): EventLine | undefined {
  try {
    return JSON.parse(line) as EventLine;
  } catch {
    return undefined;
  }
}
