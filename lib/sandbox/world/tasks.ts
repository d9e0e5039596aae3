import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../../errors.ts";
import { readIfThere, removeIfThere, writeJsonAtomic } from "./atomic-file.ts";
import type { Interference, TaskFault } from "./interference.ts";
import type { Task } from "./types.ts";
import { formatUpid } from "./upid.ts";

/** What a worker is given. */
export interface Worker {
  /** Add a line to the task's log. */
  log(line: string): void;
  /**
   * Take as long as the real thing, shortened by the world's time scale.
   * @param seconds what a real node needs
   */
  takes(seconds: number): Promise<void>;
  /** Aborted when somebody stops the task or the sandbox ends. */
  readonly signal: AbortSignal;
}

export interface TaskRequest {
  /** For example "qmclone". */
  readonly type: string;
  readonly id: string;
  readonly user: string;
  readonly token: string | undefined;
  /** Receives each line of the log besides the task itself. */
  readonly onLog?: ((line: string) => void) | undefined;
  run(worker: Worker): Promise<void>;
}

/** How the workers of a node behave. */
interface TaskWorld {
  /** When the node was booted: milliseconds since the epoch. */
  readonly bootedAt: number;
  /** How long tasks take, as a share of what a real node needs. */
  readonly timeScale: number;
  readonly interference: Pick<Interference, "task">;
}

interface LiveTask {
  task: Task;
  readonly controller: AbortController;
  readonly done: Promise<void>;
}

/** A real node keeps its archive of tasks at about this length. */
const KEPT = 1000;
/** A task whose process vanished without a result. */
const LOST = "unexpected status";

/** The workers of the node: those that run and the archive of those that ended. */
export class TaskStore {
  readonly #directory: string;
  readonly #node: string;
  readonly #world: TaskWorld;
  readonly #ended = new Map<string, Task>();
  readonly #live = new Map<string, LiveTask>();
  /** Tasks that nobody is to know of any more: only who started them can still wait for them. */
  readonly #vanished = new Map<string, LiveTask>();
  #nextPid: number;

  constructor(directory: string, node: string, world: TaskWorld) {
    this.#directory = directory;
    this.#node = node;
    this.#world = world;
    mkdirSync(directory, { recursive: true });
    for (const task of readTasks(directory)) {
      // It was running when the sandbox was killed: its worker is gone.
      if (task.exitstatus === undefined)
        this.#archive({ ...task, endtime: task.starttime, exitstatus: LOST });
      else this.#ended.set(task.upid, task);
    }
    this.#nextPid = Math.max(1000, ...[...this.#ended.values()].map((task) => task.pid + 1));
  }

  /** Start a worker; it runs on its own from here. */
  start(request: TaskRequest): Task {
    const task = this.#describe(request);
    const faults = this.#world.interference.task(
      [task.type, task.id].filter((part) => part !== "").join(" "),
    );
    const run = disturbed(request.run, faults);
    const live: LiveTask = {
      task,
      controller: new AbortController(),
      done: Promise.resolve().then(() => this.#run({ ...request, run }, live)),
    };
    if (faults.some((fault) => "vanish" in fault)) {
      this.#vanished.set(task.upid, live);
    } else {
      this.#save(task);
      this.#live.set(task.upid, live);
    }
    return task;
  }

  /** Look a task up, running or ended. */
  get(upid: string): Task | undefined {
    return this.#live.get(upid)?.task ?? this.#ended.get(upid);
  }

  /** All tasks, the newest first. */
  list(): Task[] {
    const running = [...this.#live.values()].map((live) => live.task);
    return [...this.#ended.values(), ...running].reverse();
  }

  /** Wait until a task has ended; one that is unknown is an error of the caller. */
  async finished(upid: string): Promise<Task> {
    const vanished = this.#vanished.get(upid);
    if (vanished !== undefined) {
      await vanished.done;
      return vanished.task;
    }
    await this.#live.get(upid)?.done;
    const task = this.#ended.get(upid);
    if (task === undefined) throw new Error(`no such task: ${upid}`);
    return task;
  }

  /** Ask a running task to stop. */
  stop(upid: string): void {
    this.#live.get(upid)?.controller.abort();
  }

  /** Wait for what runs, asking it to stop. */
  async close(): Promise<void> {
    const running = [...this.#live.values(), ...this.#vanished.values()];
    for (const { controller } of running) controller.abort();
    await Promise.all(running.map(({ done }) => done));
  }

  async #run(request: TaskRequest, live: LiveTask): Promise<void> {
    const log = (line: string): void => {
      live.task = { ...live.task, log: [...live.task.log, line] };
      request.onLog?.(line);
    };
    const { signal } = live.controller;
    const takes = async (seconds: number): Promise<void> => {
      await sleep(seconds * 1000 * this.#world.timeScale, undefined, { signal });
    };
    const exitstatus = await request.run({ log, takes, signal }).then(
      () => "OK",
      (error: unknown) => (signal.aborted ? "received interrupt" : messageOf(error).trimEnd()),
    );
    // The result is part of the log, but not of what `qm` prints.
    const last = exitstatus === "OK" ? "TASK OK" : `TASK ERROR: ${exitstatus}`;
    live.task = { ...live.task, log: [...live.task.log, last], endtime: seconds(Date.now()), exitstatus };
    if (this.#live.delete(live.task.upid)) this.#archive(live.task);
  }

  #describe({ type, id, user, token }: TaskRequest): Task {
    const now = Date.now();
    const process = {
      pid: this.#nextPid,
      pstart: Math.floor((now - this.#world.bootedAt) / 10),
      starttime: seconds(now),
    };
    this.#nextPid += 1;
    const authId = token === undefined ? user : `${user}!${token}`;
    const upid = formatUpid({ node: this.#node, ...process, type, id, authId });
    return { upid, type, id, user, token, ...process, endtime: undefined, exitstatus: undefined, log: [] };
  }

  #archive(task: Task): void {
    this.#ended.set(task.upid, task);
    this.#save(task);
    for (const upid of this.#ended.keys()) {
      if (this.#ended.size <= KEPT) break;
      this.#ended.delete(upid);
      removeIfThere(this.#file(upid));
    }
  }

  #save(task: Task): void {
    writeJsonAtomic(this.#file(task.upid), task);
  }

  /** A UPID holds ":" and "!", which not every file system takes. */
  #file(upid: string): string {
    return join(this.#directory, `${upid.replace(/[^a-zA-Z0-9@._-]/g, "_")}.json`);
  }
}

/** The work of a task with what is to go wrong with it. */
function disturbed(run: TaskRequest["run"], faults: readonly TaskFault[]): TaskRequest["run"] {
  return faults.reduceRight<TaskRequest["run"]>((work, fault) => {
    if ("delay" in fault) {
      return async (worker) => {
        await sleep(fault.delay, undefined, { signal: worker.signal });
        await work(worker);
      };
    }
    if ("hang" in fault) {
      return async ({ signal }) => {
        await new Promise((_, reject) => {
          signal.addEventListener("abort", () => reject(signal.reason), { once: true });
        });
      };
    }
    if ("vanish" in fault) return fault.vanish === "before" ? async () => {} : work;
    return async (worker) => {
      await work(fault.when === "after" ? worker : failingWorker(worker, fault.fail));
      throw new Error(fault.fail);
    };
  }, run);
}

/** Fails at the first thing that the work asks of it, so that the work cleans up as it does after a failure of its own. */
function failingWorker({ signal }: Worker, message: string): Worker {
  const fail = (): never => {
    throw new Error(message);
  };
  return { signal, log: fail, takes: async () => fail() };
}

function readTasks(directory: string): Task[] {
  const tasks = readdirSync(directory)
    .filter((name) => name.endsWith(".json"))
    .flatMap((name) => {
      const text = readIfThere(join(directory, name));
      return text === undefined ? [] : [JSON.parse(text) as Task];
    });
  return tasks.sort((a, b) => a.starttime - b.starttime || a.pid - b.pid).slice(-KEPT);
}

function seconds(milliseconds: number): number {
  return Math.floor(milliseconds / 1000);
}
