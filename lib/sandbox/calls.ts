import type { RawValue } from "./schema/index.ts";
import type { Task } from "./world/index.ts";

export type Method = "GET" | "POST" | "PUT" | "DELETE";

/** Who calls: a user, or one of a user's API tokens. */
export interface Caller {
  /** For example "root@pam". */
  readonly user: string;
  /** Name of the token, for example "tasks"; undefined for the user in person. */
  readonly token?: string;
}

/** What `qm` and `pvesm` on the node call as. */
export const ROOT: Caller = { user: "root@pam" };

/** One call of the API, however it came in. */
export interface ApiRequest {
  readonly method: Method;
  /** Below /api2/json, for example "/nodes/pve/qemu/100/config"; its parts may be percent-encoded. */
  readonly path: string;
  /** As given by the client: the dispatcher checks them against the schema. */
  readonly params?: Readonly<Record<string, RawValue>>;
  readonly caller: Caller;
  /** Receives each line that the operation or its task logs, as `qm` shows them. */
  readonly onLog?: (line: string) => void;
}

/** The answer to a call. */
export interface ApiAnswer {
  /** What the API puts under `data`; the UPID for a call that started a task. */
  readonly data: unknown;
  /** What it puts beside `data`: the total of a list. */
  readonly extra?: Readonly<Record<string, unknown>>;
  /** The task that the call started. `world.tasks.finished(task.upid)` waits for its end. */
  readonly task?: Task;
}

/**
 * Carry out a call: find the route, check privileges and parameters, run the operation.
 * @throws {ApiError} as the server would answer
 */
export type Dispatch = (request: ApiRequest) => Promise<ApiAnswer>;

/** A refusal, worded as the server words it. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  /** For a 400: the complaint about each parameter. */
  readonly errors: Readonly<Record<string, string>> | undefined;

  constructor(status: number, message: string, errors?: Readonly<Record<string, string>>) {
    super(message);
    this.status = status;
    this.errors = errors;
  }
}

/** Parameters that the schema (or the operation) does not accept. */
export function parameterError(errors: Readonly<Record<string, string>>): ApiError {
  return new ApiError(400, "Parameter verification failed.", errors);
}

/** A failure of the operation itself: status 500 with the reason. */
export function failure(message: string): ApiError {
  return new ApiError(500, message);
}
