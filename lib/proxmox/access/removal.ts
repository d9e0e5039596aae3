import { UsageError } from "../../errors.ts";
import { quoteWords } from "../quote.ts";
import { type AccessChange, deleteRole, deleteToken, deleteUser, takeRole } from "./changes.ts";
import { type AccessNames, fullTokenId } from "./names.ts";
import { rolesMade } from "./rights.ts";
import type { AccessState } from "./state.ts";

/** What is to go, and what stays because others use it. */
export interface Removal {
  readonly changes: readonly AccessChange[];
  readonly kept: readonly string[];
}

/**
 * Everything that pve-init has made: entries, tokens, roles, and last the user, whose comment tells of the others.
 * @throws {UsageError} for a user that is not ours, or that has tokens which are not
 */
export function removalOf(state: AccessState, names: AccessNames): Removal {
  const { user } = names;
  const made = rolesMade(state, names);
  if (state.userComment === undefined) return { changes: [], kept: [] };
  const foreign = state.tokens.filter(({ mark }) => mark.kind === "foreign");
  if (foreign.length > 0) {
    throw new UsageError({
      what: `The user ${user} has tokens that pve-init has not made`,
      why: `${foreign.map(({ name }) => fullTokenId(user, name)).join(", ")} would go with it`,
      todo: [
        "Remove them first, if nobody needs them; on the node:",
        ...foreign.map(({ name }) => `$ ${quoteWords(deleteToken(user, name).words)}`),
      ],
      left: ["Nothing was changed"],
    });
  }
  const holders = [user, ...state.tokens.map(({ name }) => fullTokenId(user, name))];
  const isOurs = ({ who }: { readonly who: string }): boolean => holders.includes(who);
  const inUse = made.filter((role) => state.acl.some((row) => row.role === role && !isOurs(row)));
  return {
    changes: [
      ...state.acl
        .filter(isOurs)
        .map(({ path, role, who }) => takeRole(path, role, { type: who === user ? "user" : "token", who })),
      ...state.tokens.map(({ name }) => deleteToken(user, name)),
      ...made.filter((role) => !inUse.includes(role)).map(deleteRole),
      deleteUser(user),
    ],
    kept: inUse.map((role) => `role ${role}: others have it, too`),
  };
}
