import { UsageError } from "../../errors.ts";
import type { Grant } from "../privileges/index.ts";
import { quoteWords } from "../quote.ts";
import {
  type AccessChange,
  addRole,
  addUser,
  changeRole,
  commentUser,
  giveRole,
  type Holder,
} from "./changes.ts";
import { rolesOfMark, userMark } from "./marks.ts";
import { type AccessNames, fullTokenId } from "./names.ts";
import type { AccessState, AclRow } from "./state.ts";

/** What has to change so that the user and its tokens may do what the tasks need. */
export interface Rights {
  /** User and roles; they come before any token. */
  readonly before: readonly AccessChange[];
  /** The access control list. */
  readonly after: readonly AccessChange[];
  /** What of a role differs from what it should be, for people. */
  readonly differences: readonly string[];
  /** Entries of ours that give more than the tasks need. */
  readonly extras: readonly AclRow[];
}

/**
 * Compare what is on the node with what the tasks need.
 * @param tokens those that are to have the rights, also one that is made in between
 * @throws {UsageError} where a user or a role of the name is somebody else's
 */
export function rightsToGive(
  state: AccessState,
  names: AccessNames,
  wanted: readonly Grant[],
  tokens: readonly string[],
): Rights {
  const made = rolesMade(state, names);
  const roles = new Map(wanted.map(({ role, privileges }) => [role, privileges]));
  const differences: string[] = [];
  const roleChanges = [...roles].flatMap(([role, privileges]): AccessChange[] => {
    const there = state.roles.get(role);
    if (there === undefined) return [addRole(role, privileges)];
    const [lacks, surplus] = [without(privileges, there), without(there, privileges)];
    if (lacks.length + surplus.length === 0) return [];
    if (!made.includes(role)) throw foreignRole(role, lacks, surplus);
    differences.push(
      [
        `${role} differs:`,
        ...(lacks.length > 0 ? [`${lacks.join(", ")} ${lacks.length > 1 ? "are" : "is"} missing`] : []),
        ...(surplus.length > 0
          ? [`${surplus.join(", ")} ${surplus.length > 1 ? "are" : "is"} too much`]
          : []),
      ].join(" "),
    );
    return [changeRole(role, there, privileges)];
  });
  // The comment comes first: whatever happens then, what was made is known for ours.
  const comment = userMark([...made, ...[...roles.keys()].filter((role) => !state.roles.has(role))]);
  const userChanges =
    state.userComment === undefined
      ? [addUser(names.user, comment)]
      : state.userComment === comment
        ? []
        : [commentUser(names.user, comment)];
  const holders: readonly Holder[] = [
    { type: "user", who: names.user },
    ...tokens.map((token): Holder => ({ type: "token", who: fullTokenId(names.user, token) })),
  ];
  const entries = wanted.flatMap(({ role, path }): AccessChange[] => {
    const lacking = holders.filter(
      ({ who }) =>
        !state.acl.some((row) => row.path === path && row.role === role && row.who === who && row.propagate),
    );
    return lacking.length === 0 ? [] : [giveRole(path, role, lacking)];
  });
  return {
    before: [...userChanges, ...roleChanges],
    after: entries,
    differences,
    extras: state.acl.filter(
      (row) =>
        holders.some(({ who }) => who === row.who) &&
        !wanted.some(({ role, path }) => role === row.role && path === row.path),
    ),
  };
}

/** The roles that pve-init has made. @throws {UsageError} for a user that it has not made */
export function rolesMade({ userComment, roles }: AccessState, { user }: AccessNames): readonly string[] {
  if (userComment === undefined) return [];
  const made = rolesOfMark(userComment);
  if (made !== undefined) return made.filter((role) => roles.has(role));
  throw new UsageError({
    what: `The user ${user} is there, and pve-init has not made it`,
    why: `Its comment is "${userComment}"; pve-init leaves alone what does not bear its mark`,
    todo: [
      "Use another name: --user tasks@pve",
      "Or hand it over, if nothing else uses it; on the node:",
      `$ ${quoteWords(commentUser(user, userMark([])).words)}`,
    ],
    left: ["Nothing was changed"],
  });
}

function foreignRole(role: string, lacks: readonly string[], surplus: readonly string[]): UsageError {
  return new UsageError({
    what: `The role ${role} is there, and pve-init has not made it`,
    why: `It is not what the tasks need${lacks.length > 0 ? `; missing: ${lacks.join(", ")}` : ""}${surplus.length > 0 ? `; too much: ${surplus.join(", ")}` : ""}`,
    todo: [
      "Use other names: --role-prefix HomelabTasks",
      "Or remove the role, if nothing else uses it; on the node:",
      `$ pveum role delete ${role}`,
    ],
    left: ["Nothing was changed"],
  });
}

function without(list: readonly string[], others: readonly string[]): string[] {
  return list.filter((each) => !others.includes(each));
}
