import * as v from "valibot";
import { messageOf, TaskError } from "../../errors.ts";
import { type PveRelease, releaseOf } from "../privileges/index.ts";
import type { NodeShell } from "../ssh.ts";
import { type TokenMark, tokenMark } from "./marks.ts";

/** Who may do what on a node, as far as pve-init looks. */
export interface AccessState {
  readonly release: PveRelease;
  /** Privileges by role, sorted. */
  readonly roles: ReadonlyMap<string, readonly string[]>;
  /** The comment of the user; undefined where there is none of that name. */
  readonly userComment: string | undefined;
  readonly tokens: readonly TokenState[];
  readonly acl: readonly AclRow[];
}

export interface TokenState {
  readonly name: string;
  /** With separation it has privileges of its own alone. */
  readonly separate: boolean;
  readonly mark: TokenMark;
}

/** One line of the access control list. */
export interface AclRow {
  readonly path: string;
  readonly role: string;
  readonly type: string;
  /** User, group, or "USER!TOKEN". */
  readonly who: string;
  readonly propagate: boolean;
}

const flag = v.pipe(
  v.optional(v.union([v.number(), v.string(), v.boolean()]), 0),
  v.transform((value) => Number(value) === 1),
);
const rolesSchema = v.array(v.object({ roleid: v.string(), privs: v.optional(v.string(), "") }));
const usersSchema = v.array(v.object({ userid: v.string(), comment: v.optional(v.string(), "") }));
const tokensSchema = v.array(
  v.object({ tokenid: v.string(), privsep: flag, comment: v.optional(v.string(), "") }),
);
const aclSchema = v.array(
  v.object({ path: v.string(), roleid: v.string(), type: v.string(), ugid: v.string(), propagate: flag }),
);

/**
 * Look who may do what.
 * @param user whose tokens are looked at
 * @throws {TaskError} where the node cannot be reached, is no Proxmox VE, or of a release that is not supported
 */
export async function accessState(shell: NodeShell, user: string, signal: AbortSignal): Promise<AccessState> {
  const [release, roles, users, acl] = await Promise.all([
    nodeRelease(shell, signal),
    asked(shell, ["role", "list"], rolesSchema, signal),
    asked(shell, ["user", "list"], usersSchema, signal),
    asked(shell, ["acl", "list"], aclSchema, signal),
  ]);
  const own = users.find(({ userid }) => userid === user);
  const tokens = own === undefined ? [] : await tokensOf(shell, user, signal);
  return {
    release,
    roles: new Map(
      roles.map(({ roleid, privs }) => [
        roleid,
        privs
          .split(",")
          .filter((name) => name !== "")
          .sort(),
      ]),
    ),
    userComment: own?.comment,
    tokens,
    acl: acl.map(({ path, roleid, type, ugid, propagate }) => ({
      path,
      role: roleid,
      type,
      who: ugid,
      propagate,
    })),
  };
}

/** A user's tokens, by name: the node lists them in no order. @throws {CommandError} where there is no such user */
export async function tokensOf(shell: NodeShell, user: string, signal?: AbortSignal): Promise<TokenState[]> {
  const tokens = await asked(shell, ["user", "token", "list", user], tokensSchema, signal);
  return tokens
    .map(({ tokenid, privsep, comment }) => ({
      name: tokenid,
      separate: privsep,
      mark: tokenMark(comment),
    }))
    .sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
}

async function nodeRelease(shell: NodeShell, signal: AbortSignal): Promise<PveRelease> {
  const { stdout } = await shell.run(["pveversion"], { signal });
  const [, version] = /^pve-manager\/([\d.]+)/.exec(stdout) ?? [];
  if (version !== undefined) return releaseOf(version);
  throw new TaskError({
    what: `${shell.target.host} does not say which Proxmox VE it is`,
    why: `pveversion answered: ${stdout.trim() || "nothing"}`,
    todo: ["Check that PM_SSH_HOST is the Proxmox node"],
  });
}

async function asked<Schema extends v.GenericSchema>(
  shell: NodeShell,
  words: readonly string[],
  schema: Schema,
  signal?: AbortSignal,
): Promise<v.InferOutput<Schema>> {
  const line = ["pveum", ...words, "--output-format", "json"];
  const { stdout } = await shell.run(line, signal === undefined ? {} : { signal });
  try {
    return v.parse(schema, JSON.parse(stdout));
  } catch (error) {
    throw new TaskError({
      what: `pveum ${words.join(" ")}: the answer has another form than expected`,
      why: messageOf(error),
      todo: ["Proxmox VE 8 and 9 are supported; please report this answer"],
      cause: error,
    });
  }
}
