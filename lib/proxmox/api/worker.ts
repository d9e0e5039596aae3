import type * as v from "valibot";
import { TaskError } from "../../errors.ts";
import { privilegeAdvice } from "../privileges/index.ts";
import { quoteWords } from "../quote.ts";
import { taskLogAnswer, taskStatusAnswer } from "./answers.ts";
import type { ProxmoxApi } from "./client.ts";
import { ApiFailure, taskGone } from "./failures.ts";
import { nodePath } from "./paths.ts";
import { pause } from "./pause.ts";

const POLL_MS = 500;
/** The log comes fifty lines at a time unless more is asked for. */
const LOG_LINES = 500;
/** How a worker ends that did its work. */
const ENDED_WELL = /^(OK|WARNINGS: \d+)$/;

export interface WaitOptions {
  readonly signal?: AbortSignal;
  /** Told each line of the worker's log. */
  readonly onLine?: (line: string) => void;
}

/**
 * Wait for a worker of the node; its log is handed on line by line.
 * @throws {TaskError} with the worker's last words, or when the node knows no more of it
 * @see GET /nodes/{node}/tasks/{upid}/status
 */
export async function waitForWorker(
  api: ProxmoxApi,
  upid: string,
  { signal, onLine }: WaitOptions,
): Promise<void> {
  const node = upid.split(":")[1] ?? "";
  const path = `${nodePath(node)}/tasks/${encodeURIComponent(upid)}`;
  const lines: string[] = [];
  for (;;) {
    const { status, exitstatus = "unknown" } = await workerStatus(api, upid, path, signal);
    for (let more = true; more; ) {
      const page = { start: lines.length, limit: LOG_LINES };
      const fresh = await api.get(`${path}/log`, taskLogAnswer, page, signal);
      more = fresh.length === LOG_LINES;
      for (const { t } of fresh) {
        // What stands in for a log that is still empty; its first line comes in its place later.
        if (lines.length === 0 && t === "no content") break;
        lines.push(t);
        onLine?.(t);
      }
    }
    if (status === "stopped") {
      if (ENDED_WELL.test(exitstatus)) return;
      throw taskFailure(upid, exitstatus, lines);
    }
    await pause(POLL_MS, signal);
  }
}

async function workerStatus(
  api: ProxmoxApi,
  upid: string,
  path: string,
  signal: AbortSignal | undefined,
): Promise<v.InferOutput<typeof taskStatusAnswer>> {
  try {
    return await api.get(`${path}/status`, taskStatusAnswer, {}, signal);
  } catch (error) {
    if (!(error instanceof ApiFailure) || !/no such task/.test(error.message)) throw error;
    const [, , , , , type = "", id = ""] = upid.split(":");
    throw taskGone(type, id, error);
  }
}

function taskFailure(upid: string, exitstatus: string, log: readonly string[]): TaskError {
  const [, node = "", , , , type = "", id = ""] = upid.split(":");
  // The log ends with the same words.
  const before = log.filter((line) => line !== `TASK ERROR: ${exitstatus}`);
  return new TaskError({
    what: `The node's task ${[type, id].filter(Boolean).join(" ")} failed`,
    why: [exitstatus, ...before.slice(-5)].join("\n"),
    todo: [
      ...privilegeAdvice(exitstatus),
      "Its whole log, on the node:",
      `$ ${quoteWords(["pvesh", "get", `/nodes/${node}/tasks/${upid}/log`])}`,
    ],
  });
}
