import { createHash, timingSafeEqual } from "node:crypto";
import { readIfThere, writeJsonAtomic } from "./atomic-file.ts";
import type { PveRelease } from "./release.ts";
import { builtInRoles, type Privilege, privilegesOf, type Roles } from "./roles.ts";

/** A user of the node, with what it may use to log in. */
export interface User {
  /** "NAME@REALM" */
  readonly userid: string;
  readonly comment?: string;
  readonly email?: string;
  readonly firstname?: string;
  readonly lastname?: string;
  readonly keys?: string;
  /** It may log in, unless this says otherwise. */
  readonly enable?: boolean;
  /** Seconds since the epoch; 0 or nothing for never. */
  readonly expire?: number;
  readonly tokens: Readonly<Record<string, ApiToken>>;
}

export interface ApiToken {
  /** With separation a token has its own rights, limited by its user's; without it has its user's. */
  readonly privsep: boolean;
  readonly comment?: string;
  /** Seconds since the epoch; 0 or nothing for never. */
  readonly expire?: number;
  /** SHA-256 of the secret, hexadecimal. */
  readonly secretHash: string;
}

/** One line of the access control list. */
export interface AclEntry {
  readonly path: string;
  readonly type: "user" | "token";
  /** User id, or "USER!TOKEN". */
  readonly ugid: string;
  readonly roleid: string;
  readonly propagate: boolean;
}

/** What is on disk. */
export interface AccessData {
  readonly users: readonly User[];
  /** Custom roles. */
  readonly roles: Roles;
  readonly acl: readonly AclEntry[];
}

/** Who asks for a privilege. */
export interface Subject {
  readonly user: string;
  readonly token?: string;
}

/** Privileges, each with whether it also holds below the path. */
export type Permissions = ReadonlyMap<Privilege, boolean>;

export const SUPERUSER = "root@pam";
/** Takes everything away on its path and below. */
const NO_ACCESS = "NoAccess";

/** Users, tokens, roles and the access control list, and what follows from them. */
export class AccessControl {
  readonly release: PveRelease;
  readonly #file: string;
  readonly #builtIn: Roles;
  #data: AccessData;

  constructor(file: string, initial: AccessData, release: PveRelease = 9) {
    this.#file = file;
    this.release = release;
    this.#builtIn = builtInRoles(release);
    const text = readIfThere(file);
    this.#data = text === undefined ? initial : (JSON.parse(text) as AccessData);
    if (text === undefined) writeJsonAtomic(file, initial);
  }

  get users(): readonly User[] {
    return this.#data.users;
  }

  /** Without the entries whose role has been deleted. */
  get acl(): readonly AclEntry[] {
    return this.#data.acl.filter(({ roleid }) => Object.hasOwn(this.roles, roleid));
  }

  /** The roles of entries that have lost theirs; the next change removes them. */
  get lostRoles(): readonly string[] {
    return this.#data.acl.map(({ roleid }) => roleid).filter((role) => !Object.hasOwn(this.roles, role));
  }

  /** All roles by name, those that are built in and those that were made. */
  get roles(): Roles {
    return { ...this.#builtIn, ...this.#data.roles };
  }

  /** The roles that were made. */
  get customRoles(): Roles {
    return this.#data.roles;
  }

  isBuiltIn(role: string): boolean {
    return Object.hasOwn(this.#builtIn, role);
  }

  user(userid: string): User | undefined {
    return this.#data.users.find((user) => user.userid === userid);
  }

  /** Whether a token's secret is right; false for a user or token that does not exist, or not any more. */
  verifyToken(userid: string, name: string, secret: string): boolean {
    const user = this.user(userid);
    const token = user?.tokens[name];
    if (user === undefined || token === undefined) return false;
    if (user.enable === false || hasExpired(user) || hasExpired(token)) return false;
    return timingSafeEqual(Buffer.from(token.secretHash, "hex"), Buffer.from(hashSecret(secret), "hex"));
  }

  /** Replace users, roles or the access control list. */
  change(change: Partial<AccessData>): void {
    const next = { ...this.#data, acl: this.acl, ...change };
    writeJsonAtomic(this.#file, next);
    this.#data = next;
  }

  /** The same for one user; undefined removes it, with what it has in the access control list. */
  changeUser(userid: string, user: User | undefined): void {
    const others = this.#data.users.filter((other) => other.userid !== userid);
    const tokens = Object.keys(user?.tokens ?? {}).map((name) => `${userid}!${name}`);
    const stays = ({ type, ugid }: AclEntry): boolean => {
      const [owner] = ugid.split("!");
      if (owner !== userid) return true;
      return type === "user" ? user !== undefined : tokens.includes(ugid);
    };
    const users = user === undefined ? others : [...others, user];
    this.change({
      users: users.sort((a, b) => (a.userid < b.userid ? -1 : 1)),
      acl: this.acl.filter(stays),
    });
  }

  /**
   * The privileges that somebody has on a path.
   * @param path for example "/vms/100"
   */
  privileges(subject: Subject, path: string): ReadonlySet<Privilege> {
    return new Set(this.permissions(subject, path).keys());
  }

  /** The same, each with whether it also holds below the path. */
  permissions({ user, token }: Subject, path: string): Permissions {
    const ofUser =
      user === SUPERUSER
        ? new Map(privilegesOf(this.release).map((name) => [name, true]))
        : this.#granted("user", user, path);
    if (token === undefined || this.user(user)?.tokens[token]?.privsep === false) return ofUser;
    const ofToken = this.#granted("token", `${user}!${token}`, path);
    return new Map(
      [...ofToken].flatMap(([name, propagates]) => {
        const too = ofUser.get(name);
        return too === undefined ? [] : [[name, too && propagates] as const];
      }),
    );
  }

  /** Entries nearer to the path replace those further up; those further up count only where they propagate. */
  #granted(type: AclEntry["type"], ugid: string, path: string): Permissions {
    let found: readonly AclEntry[] = [];
    for (const prefix of prefixesOf(path)) {
      const here = this.acl
        .filter((entry) => entry.type === type && entry.ugid === ugid && entry.path === prefix)
        .filter((entry) => entry.propagate || prefix === path);
      if (here.length > 0) found = here;
    }
    if (found.some(({ roleid }) => roleid === NO_ACCESS)) return new Map();
    const permissions = new Map<Privilege, boolean>();
    for (const { roleid, propagate } of found) {
      for (const name of this.roles[roleid] ?? []) {
        permissions.set(name, propagate || permissions.get(name) === true);
      }
    }
    return permissions;
  }
}

/** What is kept of a token's secret. */
export function hashSecret(secret: string): string {
  return createHash("sha256").update(secret).digest("hex");
}

/** "/", "/vms", "/vms/100" for "/vms/100". */
export function prefixesOf(path: string): string[] {
  const parts = path.split("/").filter((part) => part !== "");
  return ["/", ...parts.map((_, index) => `/${parts.slice(0, index + 1).join("/")}`)];
}

function hasExpired({ expire = 0 }: { readonly expire?: number }): boolean {
  return expire > 0 && expire * 1000 <= Date.now();
}
