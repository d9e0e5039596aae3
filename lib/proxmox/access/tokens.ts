import { TaskError, UsageError } from "../../errors.ts";
import type { RunMark } from "../../run-mark.ts";
import { type AccessChange, commentToken, deleteToken, separateToken, takeRole } from "./changes.ts";
import { isAtIt, replacedMark, SETTLED } from "./marks.ts";
import { type AccessNames, fullTokenId, isOrFollows } from "./names.ts";
import type { AccessState, TokenState } from "./state.ts";

/** How the user's tokens stand, with what the settings have of them. */
export interface TokenReport {
  /** The one that the settings have, where it is there and ours. */
  readonly current: TokenState | undefined;
  /** Those of ours that are called as they were asked for, or have taken such a one's place; the settings have no secret of theirs. */
  readonly elsewhere: readonly TokenState[];
  /** Made by runs that were killed before anybody had the secret. */
  readonly lost: readonly TokenState[];
  /** Tokens whose place the current one has taken. */
  readonly replaced: readonly TokenState[];
}

/**
 * Look how the tokens stand.
 * @param known the name of the user's token that the settings have, with its secret
 * @throws {TaskError} while another run is making one
 * @throws {UsageError} where a token of the name is not ours
 */
export function reportTokens(state: AccessState, names: AccessNames, known: string | undefined): TokenReport {
  const { tokens } = state;
  const current = tokens.find(({ name }) => name === known);
  const foreign = [current, tokens.find(({ name }) => name === names.token)].find(
    (token) => token?.mark.kind === "foreign",
  );
  if (foreign !== undefined) throw foreignToken(names.user, foreign.name);
  const pending = tokens.flatMap((token) =>
    token.mark.kind === "pending" && token !== current ? [{ token, run: token.mark.run }] : [],
  );
  for (const { token, run } of pending) {
    if (run !== undefined && isAtIt(run)) throw busy(fullTokenId(names.user, token.name), run);
  }
  const replaced = tokens.filter(
    ({ mark }) => current !== undefined && mark.kind === "replaced" && mark.by === current.name,
  );
  const lost = pending.map(({ token }) => token);
  const elsewhere = tokens.filter(
    (token) =>
      isOrFollows(token.name, names.token) &&
      token.mark.kind !== "foreign" &&
      token !== current &&
      !lost.includes(token) &&
      !replaced.includes(token),
  );
  return { current, elsewhere, lost, replaced };
}

/** Take a token away, and before that its entries in the access control list. */
export function dropToken(state: AccessState, user: string, { name }: TokenState): AccessChange[] {
  const who = fullTokenId(user, name);
  return [
    ...state.acl
      .filter((row) => row.who === who)
      .map(({ path, role }) => takeRole(path, role, { type: "token", who })),
    deleteToken(user, name),
  ];
}

/** What is on the node once some tokens are gone, and their entries with them. */
export function withoutTokens(state: AccessState, user: string, gone: readonly TokenState[]): AccessState {
  const ids = gone.map(({ name }) => fullTokenId(user, name));
  return {
    ...state,
    tokens: state.tokens.filter((token) => !gone.includes(token)),
    acl: state.acl.filter(({ who }) => !ids.includes(who)),
  };
}

/** What has to change about the token that the settings have, so that it is one of ours in good order. */
export function mendToken(user: string, { name, separate, mark }: TokenState): AccessChange[] {
  return [
    ...(separate ? [] : [separateToken(user, name)]),
    ...(mark.kind === "settled" ? [] : [commentToken(user, name, SETTLED)]),
  ];
}

/** Note of a token that another one takes its place. */
export function noteReplaced(user: string, { name, mark }: TokenState, by: string): AccessChange {
  const before = mark.kind === "replaced" ? replacedMark(mark.by) : SETTLED;
  return {
    ...commentToken(user, name, replacedMark(by)),
    undo: {
      description: `${fullTokenId(user, name)} counts as before`,
      words: commentToken(user, name, before).words,
    },
  };
}

/** The name of the token in a PM_API_TOKEN_ID, where it is one of this user's. */
export function tokenNameOf(user: string, tokenId: string | undefined): string | undefined {
  return tokenId?.startsWith(`${user}!`) ? tokenId.slice(user.length + 1) : undefined;
}

function foreignToken(user: string, token: string): UsageError {
  return new UsageError({
    what: `The token ${fullTokenId(user, token)} is there, and pve-init has not made it`,
    why: "Its comment does not bear the mark of pve-init, which leaves alone what is somebody else's",
    todo: ["Make one of another name: --token tasks-here, with PM_API_TOKEN_ID empty"],
    left: ["Nothing was changed"],
  });
}

function busy(token: string, { by, pid, since }: RunMark): TaskError {
  return new TaskError({
    what: `Another run is making the token ${token}`,
    why: `${by} (process ${pid}) has been at it since ${since}`,
    todo: ["Wait until it is done and run this again"],
    left: ["Nothing was changed"],
  });
}
