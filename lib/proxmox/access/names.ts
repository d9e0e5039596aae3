import { UsageError } from "../../errors.ts";

/** What the user, the token and the roles of the tasks are called on the node. */
export interface AccessNames {
  /** "homelab@pve" */
  readonly user: string;
  /** "tasks"; those that take its place are called tasks-2, tasks-3, … */
  readonly token: string;
  /** What the roles' names begin with: "Homelab". */
  readonly rolePrefix: string;
}

const DEFAULT_NAMES: AccessNames = { user: "homelab@pve", token: "tasks", rolePrefix: "Homelab" };

/** The forms that Proxmox takes. */
const FORMS: Readonly<Record<keyof AccessNames, readonly [form: RegExp, flag: string, example: string]>> = {
  user: [/^(?!root@)[A-Za-z0-9][A-Za-z0-9._-]{0,50}@[A-Za-z][A-Za-z0-9._-]{0,30}$/, "--user", "homelab@pve"],
  token: [/^[A-Za-z][A-Za-z0-9._-]{1,50}$/, "--token", "tasks"],
  rolePrefix: [/^(?!pve)[A-Za-z][A-Za-z0-9._-]{0,50}$/i, "--role-prefix", "Homelab"],
};

/** The names that were asked for, the others as they are by default. @throws {UsageError} for one that Proxmox would not take */
export function accessNames(
  given: {
    readonly [Name in keyof AccessNames]?: string | undefined;
  },
): AccessNames {
  const names = {
    user: given.user ?? DEFAULT_NAMES.user,
    token: given.token ?? DEFAULT_NAMES.token,
    rolePrefix: given.rolePrefix ?? DEFAULT_NAMES.rolePrefix,
  };
  for (const name of Object.keys(FORMS) as (keyof AccessNames)[]) {
    const [form, flag, example] = FORMS[name];
    if (form.test(names[name])) continue;
    throw new UsageError({
      what: `${flag} ${names[name]} is no name that can be used`,
      why: `Letters, digits, ".", "_" and "-"${name === "user" ? ", then @ and a realm; not root" : name === "rolePrefix" ? "; names that begin with PVE are the node's own" : ", a letter first"}`,
      todo: [`Give another one: ${flag} ${example}`],
    });
  }
  return names;
}

/** "homelab@pve!tasks", as PM_API_TOKEN_ID has it. */
export function fullTokenId(user: string, token: string): string {
  return `${user}!${token}`;
}

/** The name for the token that takes another one's place: tasks-2 for tasks, tasks-3 for tasks-2. */
export function nextTokenName(current: string, taken: readonly string[]): string {
  const [, base = current, number = "1"] = /^(.+?)-(\d{1,6})$/.exec(current) ?? [];
  for (let next = Number(number) + 1; ; next += 1) {
    const name = `${base}-${next}`;
    if (!taken.includes(name)) return name;
  }
}
