import { type ApiAnswer, ApiError, type Caller } from "../calls.ts";
import type { GuestRuntime } from "../hooks.ts";
import type { Guard } from "../permissions.ts";
import type { Params } from "../schema/index.ts";
import type { Task, TaskRequest, World } from "../world/index.ts";

/** What a route's handler has at hand. */
export interface CallContext {
  readonly world: World;
  readonly guests: GuestRuntime;
  readonly caller: Caller;
  /** Accepted by the schema, those of the path included. */
  readonly params: Params;
  /** See `ApiRequest.onLog`. */
  readonly onLog: (line: string) => void;
}

export type Handler = (call: CallContext) => Promise<ApiAnswer> | ApiAnswer;

/** Handlers by "METHOD /path/{parameter}", as the schema writes paths. */
export type RouteTable = Readonly<Record<string, Handler>>;

/** An answer that is complete. */
export function answer(data: unknown, extra?: Readonly<Record<string, unknown>>): ApiAnswer {
  return extra === undefined ? { data } : { data, extra };
}

/** Start a worker in the caller's name; the answer is its UPID. */
export function startTask(
  { world, caller, onLog }: CallContext,
  { type, id, run }: Pick<TaskRequest, "type" | "id" | "run">,
): ApiAnswer {
  const task: Task = world.tasks.start({
    type,
    id,
    user: caller.user,
    token: caller.token,
    onLog,
    run: async (worker) => {
      await run(worker).catch((error: unknown) => {
        throw withStatus(error);
      });
    },
  });
  return { data: task.upid, task };
}

/** A privilege that is found missing in a task shows in its result with the status that a call would have had. */
function withStatus(error: unknown): unknown {
  return error instanceof ApiError && error.status === 403 ? new Error(`403 ${error.message}`) : error;
}

/** What the caller's privileges are checked against. */
export function guardOf({ world, caller }: CallContext): Guard {
  return { access: world.access, caller };
}
