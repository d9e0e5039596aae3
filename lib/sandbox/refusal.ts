import { messageOf } from "../errors.ts";
import { ApiError, failure } from "./calls.ts";
import { ImageError, LockTimeoutError, StorageError } from "./world/index.ts";

/**
 * What a client is told of an error.
 * @returns undefined for what is no refusal of the world, but a bug
 */
export function refusalOf(error: unknown): ApiError | undefined {
  if (error instanceof ApiError) return error;
  const refused = [ImageError, LockTimeoutError, StorageError].some((kind) => error instanceof kind);
  return refused ? failure(messageOf(error)) : undefined;
}
