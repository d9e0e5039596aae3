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

/** The flags of pve-init that ask for these names: for commands that people are told to run. */
export function nameFlags(names: AccessNames): string[] {
  return (Object.keys(FORMS) as (keyof AccessNames)[]).flatMap((name) =>
    names[name] === DEFAULT_NAMES[name] ? [] : [FORMS[name][1], names[name]],
  );
}

/** "homelab@pve!tasks", as PM_API_TOKEN_ID has it. */
export function fullTokenId(user: string, token: string): string {
  return `${user}!${token}`;
}

/** The name for the token that takes another one's place: tasks-2 for tasks, or a higher one than any that is taken. */
export function nextTokenName(current: string, taken: readonly string[]): string {
  const { base } = counted(current);
  const numbers = [current, ...taken].map(counted).filter((each) => each.base === base);
  return `${base}-${Math.max(...numbers.map(({ number }) => number)) + 1}`;
}

/** Whether a token is called so, or as one is that took its place: tasks, tasks-2 and tasks-9 for tasks. */
export function isOrFollows(name: string, first: string): boolean {
  const [one, other] = [counted(name), counted(first)];
  return name === first || (one.base === other.base && one.number > other.number);
}

function counted(name: string): { readonly base: string; readonly number: number } {
  const [, base = name, number = "1"] = /^(.+?)-(\d{1,6})$/.exec(name) ?? [];
  return { base, number: Number(number) };
}
