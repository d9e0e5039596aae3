import { fullTokenId } from "./names.ts";

/** A command of pveum that changes something. */
export interface AccessChange {
  readonly words: readonly string[];
  /** Takes it back. */
  readonly undo?: { readonly description: string; readonly words: readonly string[] };
  /** The token that it makes: its answer has the secret. */
  readonly makesToken?: MadeToken;
}

/** What a token is known by that is made now. */
export interface MadeToken {
  readonly user: string;
  readonly token: string;
  readonly comment: string;
}

/** Who is given something, or has something taken away. */
export interface Holder {
  readonly type: "user" | "token";
  /** "homelab@pve", or "homelab@pve!tasks". */
  readonly who: string;
}

const OPTION = { user: "--users", token: "--tokens" } as const;

export function addUser(user: string, comment: string): AccessChange {
  return {
    words: ["pveum", "user", "add", user, "--comment", comment],
    undo: { description: `user ${user} removed`, words: ["pveum", "user", "delete", user] },
  };
}

export function commentUser(user: string, comment: string): AccessChange {
  return { words: ["pveum", "user", "modify", user, "--comment", comment] };
}

export function deleteUser(user: string): AccessChange {
  return { words: ["pveum", "user", "delete", user] };
}

export function addRole(role: string, privileges: readonly string[]): AccessChange {
  return {
    words: ["pveum", "role", "add", role, "--privs", privileges.join(",")],
    undo: { description: `role ${role} removed`, words: ["pveum", "role", "delete", role] },
  };
}

export function changeRole(
  role: string,
  before: readonly string[],
  privileges: readonly string[],
): AccessChange {
  const words = (list: readonly string[]): string[] => [
    "pveum",
    "role",
    "modify",
    role,
    "--privs",
    list.join(","),
  ];
  return {
    words: words(privileges),
    undo: { description: `role ${role} as it was`, words: words(before) },
  };
}

export function deleteRole(role: string): AccessChange {
  return { words: ["pveum", "role", "delete", role] };
}

/** Give a role on a path, there and below. */
export function giveRole(path: string, role: string, holders: readonly Holder[]): AccessChange {
  const to = holders.flatMap(({ type, who }) => [OPTION[type], who]);
  return {
    words: ["pveum", "acl", "modify", path, "--roles", role, ...to],
    undo: {
      description: `${role} on ${path} taken away`,
      words: ["pveum", "acl", "delete", path, "--roles", role, ...to],
    },
  };
}

export function takeRole(path: string, role: string, { type, who }: Holder): AccessChange {
  return { words: ["pveum", "acl", "delete", path, "--roles", role, OPTION[type], who] };
}

/** Make a token with privileges of its own; the answer is JSON, with its secret. */
export function addToken(user: string, token: string, comment: string): AccessChange {
  return {
    words: [
      ...["pveum", "user", "token", "add", user, token, "--privsep", "1", "--comment", comment],
      ...["--output-format", "json"],
    ],
    undo: {
      description: `token ${fullTokenId(user, token)} removed`,
      words: ["pveum", "user", "token", "remove", user, token],
    },
    makesToken: { user, token, comment },
  };
}

export function commentToken(user: string, token: string, comment: string): AccessChange {
  return { words: ["pveum", "user", "token", "modify", user, token, "--comment", comment] };
}

/** Let a token have privileges of its own alone. */
export function separateToken(user: string, token: string): AccessChange {
  return {
    words: ["pveum", "user", "token", "modify", user, token, "--privsep", "1"],
    undo: {
      description: `token ${fullTokenId(user, token)} without separation, as it was`,
      words: ["pveum", "user", "token", "modify", user, token, "--privsep", "0"],
    },
  };
}

export function deleteToken(user: string, token: string): AccessChange {
  return { words: ["pveum", "user", "token", "remove", user, token] };
}
