import * as v from "valibot";
import { TaskError } from "../../errors.ts";
import { notTheApi, refusal } from "./failures.ts";

/** An answer, whatever it says. */
export interface Answer {
  readonly status: number;
  /** From the status line. */
  readonly reason: string;
  readonly body: string;
}

/**
 * What an answer says.
 * @param call "GET /version"
 * @throws {ApiFailure} when it is a refusal, {TaskError} when it is none of the API's
 */
export function parseAnswer<Schema extends v.GenericSchema>(
  call: string,
  { status, reason, body }: Answer,
  schema: Schema,
): v.InferOutput<Schema> {
  if (status >= 300)
    throw isPage(body) ? notTheApi(call, `${status} ${reason}`) : refusal(call, status, reason, body);
  let data: unknown;
  try {
    ({ data } = JSON.parse(body) as { data: unknown });
  } catch {
    throw notTheApi(call, body.trim().slice(0, 200) || "The answer is empty");
  }
  return expected(call, schema, data);
}

/**
 * What the API answered, in the form that it is expected to have.
 * @param call "GET /version"
 * @throws {TaskError} when it has another
 */
export function expected<Schema extends v.GenericSchema>(
  call: string,
  schema: Schema,
  data: unknown,
): v.InferOutput<Schema> {
  const result = v.safeParse(schema, data);
  if (result.success) return result.output;
  throw new TaskError({
    what: `${call}: the answer has another form than expected`,
    why: result.issues.map((issue) => `${v.getDotPath(issue) ?? "data"}: ${issue.message}`).join("\n"),
    todo: ["Proxmox VE 8 and 9 are supported; please report this answer"],
  });
}

/** The API answers in JSON, or with an empty body. */
function isPage(body: string): boolean {
  return /^\s*<(!doctype|html)/i.test(body);
}
