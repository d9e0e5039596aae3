import assert from "node:assert/strict";
import { TaskError } from "../../lib/errors.ts";

/** The failure, such as a person meets, that an action must end with. */
export async function refused(action: Promise<unknown>): Promise<TaskError> {
  const error = await action.then(
    () => assert.fail("it was not refused"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof TaskError, `expected a refusal, got ${String(error)}`);
  return error;
}
