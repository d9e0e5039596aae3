import { createHash, timingSafeEqual } from "node:crypto";
import { readIfThere, writeJsonAtomic } from "./atomic-file.ts";
import { BUILT_IN_ROLES, PRIVILEGES, type Privilege } from "./roles.ts";

/** A user of the node, with what it may use to log in. */
export interface User {
  /** "NAME@REALM" */
  readonly userid: string;
  readonly comment?: string;
  readonly email?: string;
  readonly tokens: Readonly<Record<string, ApiToken>>;
}

export interface ApiToken {
  /** With separation a token has its own rights, limited by its user's; without it has its user's. */
  readonly privsep: boolean;
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
  readonly roles: Readonly<Record<string, readonly Privilege[]>>;
  readonly acl: readonly AclEntry[];
}

/** Who asks for a privilege. */
interface Subject {
  readonly user: string;
  readonly token?: string;
}

const SUPERUSER = "root@pam";
/** Takes everything away on its path and below. */
const NO_ACCESS = "NoAccess";

/** Users, tokens, roles and the access control list, and what follows from them. */
export class AccessControl {
  readonly #file: string;
  #data: AccessData;

  constructor(file: string, initial: AccessData) {
    this.#file = file;
    const text = readIfThere(file);
    this.#data = text === undefined ? initial : (JSON.parse(text) as AccessData);
    if (text === undefined) writeJsonAtomic(file, initial);
  }

  get users(): readonly User[] {
    return this.#data.users;
  }

  get acl(): readonly AclEntry[] {
    return this.#data.acl;
  }

  /** All roles by name, those that are built in and those that were made. */
  get roles(): Readonly<Record<string, readonly Privilege[]>> {
    return { ...BUILT_IN_ROLES, ...this.#data.roles };
  }

  isBuiltIn(role: string): boolean {
    return Object.hasOwn(BUILT_IN_ROLES, role);
  }

  user(userid: string): User | undefined {
    return this.#data.users.find((user) => user.userid === userid);
  }

  /** Whether a token's secret is right; false for a user or token that does not exist. */
  verifyToken(userid: string, token: string, secret: string): boolean {
    const expected = this.user(userid)?.tokens[token]?.secretHash;
    if (expected === undefined) return false;
    return timingSafeEqual(Buffer.from(expected, "hex"), Buffer.from(hashSecret(secret), "hex"));
  }

  /** Replace users, roles or the access control list. */
  change(change: Partial<AccessData>): void {
    const next = { ...this.#data, ...change };
    writeJsonAtomic(this.#file, next);
    this.#data = next;
  }

  /**
   * The privileges that somebody has on a path.
   * @param path for example "/vms/100"
   */
  privileges(subject: Subject, path: string): ReadonlySet<Privilege> {
    const { user, token } = subject;
    const ofUser = user === SUPERUSER ? new Set(PRIVILEGES) : this.#granted("user", user, path);
    if (token === undefined || this.user(user)?.tokens[token]?.privsep === false) return ofUser;
    const ofToken = this.#granted("token", `${user}!${token}`, path);
    return new Set([...ofToken].filter((privilege) => ofUser.has(privilege)));
  }

  /** Entries nearer to the path replace those further up; those further up count only where they propagate. */
  #granted(type: AclEntry["type"], ugid: string, path: string): Set<Privilege> {
    let roles: readonly string[] = [];
    for (const prefix of prefixesOf(path)) {
      const here = this.#data.acl
        .filter((entry) => entry.type === type && entry.ugid === ugid && entry.path === prefix)
        .filter((entry) => entry.propagate || prefix === path)
        .map((entry) => entry.roleid);
      if (here.length > 0) roles = here;
    }
    if (roles.includes(NO_ACCESS)) return new Set();
    return new Set(roles.flatMap((role) => this.roles[role] ?? []));
  }
}

/** What is kept of a token's secret. */
export function hashSecret(secret: string): string {
  return createHash("sha256").update(secret).digest("hex");
}

/** "/", "/vms", "/vms/100" for "/vms/100". */
function prefixesOf(path: string): string[] {
  const parts = path.split("/").filter((part) => part !== "");
  return ["/", ...parts.map((_, index) => `/${parts.slice(0, index + 1).join("/")}`)];
}
