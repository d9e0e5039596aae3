import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../../errors.ts";
import { readIfThere, removeIfThere, writeJsonAtomic } from "./atomic-file.ts";
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
  readonly #bootedAt: number;
  readonly #timeScale: number;
  readonly #ended = new Map<string, Task>();
  readonly #live = new Map<string, LiveTask>();
  #nextPid: number;

  /**
   * @param timeScale how long tasks take, as a share of what a real node needs
   */
  constructor(directory: string, node: string, bootedAt: number, timeScale: number) {
    this.#directory = directory;
    this.#node = node;
    this.#bootedAt = bootedAt;
    this.#timeScale = timeScale;
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
    const controller = new AbortController();
    this.#save(task);
    const live: LiveTask = { task, controller, done: Promise.resolve().then(() => this.#run(request, live)) };
    this.#live.set(task.upid, live);
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
    const running = [...this.#live.values()];
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
      await sleep(seconds * 1000 * this.#timeScale, undefined, { signal });
    };
    const exitstatus = await request.run({ log, takes, signal }).then(
      () => "OK",
      (error: unknown) => (signal.aborted ? "received interrupt" : messageOf(error).trimEnd()),
    );
    // The result is part of the log, but not of what `qm` prints.
    const last = exitstatus === "OK" ? "TASK OK" : `TASK ERROR: ${exitstatus}`;
    this.#live.delete(live.task.upid);
    this.#archive({ ...live.task, log: [...live.task.log, last], endtime: seconds(Date.now()), exitstatus });
  }

  #describe({ type, id, user, token }: TaskRequest): Task {
    const now = Date.now();
    const process = {
      pid: this.#nextPid,
      pstart: Math.floor((now - this.#bootedAt) / 10),
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
