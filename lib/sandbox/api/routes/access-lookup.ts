import { failure } from "../../calls.ts";
import type { ApiToken, User } from "../../world/index.ts";
import type { CallContext } from "../route.ts";

/**
 * The user in the path.
 * @param prefix of the refusal
 * @throws {ApiError} when there is none
 */
export function userIn({ world, params }: CallContext, prefix = ""): User {
  const userid = params.required("userid");
  const user = world.access.user(userid);
  if (user === undefined) throw failure(`${prefix}no such user ('${userid}')`);
  return user;
}

/** What is told of a token. */
export function tokenFacts({
  privsep,
  expire = 0,
  comment,
}: Omit<ApiToken, "secretHash">): Record<string, number | string> {
  return { privsep: privsep ? 1 : 0, expire, ...(comment ? { comment } : {}) };
}
