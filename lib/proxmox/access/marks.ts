import { formatMark, goesOn, parseMark, type RunMark } from "../../run-mark.ts";

/** By these comments we know on the node what pve-init has made: nothing else is ever changed or removed. */
const OURS = "homelab pve-init";

/** The comment of the user: it tells the roles that were made with it, for roles have no comments. */
export function userMark(roles: readonly string[]): string {
  return [`${OURS}:`, ...[...new Set(roles)].sort()].join(" ");
}

/** The roles that were made with a user; undefined for one that is not ours. */
export function rolesOfMark(comment: string): readonly string[] | undefined {
  const [, roles] = new RegExp(`^${OURS}:((?: [A-Za-z0-9._-]+)*) ?$`).exec(comment) ?? [];
  return roles === undefined ? undefined : roles.split(" ").filter((role) => role !== "");
}

/** What a token's comment says of it. */
export type TokenMark =
  | { readonly kind: "settled" }
  /** Its secret may not lie in any .env: whoever made it had not come so far. */
  | { readonly kind: "pending"; readonly run: RunMark | undefined }
  | { readonly kind: "replaced"; readonly by: string }
  | { readonly kind: "foreign" };

export const SETTLED = OURS;

export function pendingMark(run: RunMark): string {
  return `${OURS}, not saved yet (${formatMark(run)})`;
}

export function replacedMark(by: string): string {
  return `${OURS}, replaced by ${by}`;
}

export function tokenMark(comment: string): TokenMark {
  if (comment === SETTLED) return { kind: "settled" };
  if (comment.startsWith(`${OURS}, not saved yet`)) return { kind: "pending", run: parseMark(comment) };
  const [, by] = new RegExp(`^${OURS}, replaced by ([A-Za-z0-9._-]+)$`).exec(comment) ?? [];
  return by === undefined ? { kind: "foreign" } : { kind: "replaced", by };
}

/** Another machine's run cannot be looked at: it takes seconds, so that one of an hour ago has ended. */
const OTHERS_MS = 3_600_000;

/** Whether the run that has made a token is still at it. */
export function isAtIt(run: RunMark): boolean {
  return goesOn(run) ?? Date.now() - Date.parse(run.since) < OTHERS_MS;
}
