import { givenText, type SettingName, type Settings, type Source } from "../../lib/config/index.ts";
import { UsageError } from "../../lib/errors.ts";
import {
  type AccessChange,
  type AccessNames,
  type NodeShell,
  nameFlags,
  quoteWords,
} from "../../lib/proxmox/index.ts";

/** Settings of a node that is to be made ready; all have a default or can be found out. */
export const INIT_USES = [
  "PM_API_URL",
  "PM_API_TOKEN_ID",
  "PM_API_TOKEN_SECRET",
  "PM_TLS_CA",
  "PM_TLS_FINGERPRINT",
  "PM_TLS_INSECURE",
  "PM_API_TIMEOUT",
  "PM_SSH_HOST",
  "PM_SSH_USER",
  "PM_SSH_PORT",
  "PM_SSH_CONFIG",
  "PM_STORAGE",
  "PM_ISO_STORAGE",
  "PM_BRIDGE",
] as const satisfies readonly SettingName[];

export type InitSettings = Settings<never, (typeof INIT_USES)[number]>;

/** What is to be made, and where. */
export interface InitRequest {
  readonly shell: NodeShell;
  readonly names: AccessNames;
  readonly settings: InitSettings;
  /** The path of the .env that the token is saved to; on the sandbox, that of a file beside its state. */
  readonly dotenv: string;
  /** The same as people know it, from the repository's folder: ".env". */
  readonly file: string;
  /** The folder for a copy of the node's CA. */
  readonly folder: string;
  readonly sources: readonly Source[];
}

/** How people know the node: "root@10.23.45.10". */
export function targetOf({ shell }: InitRequest): string {
  return `${shell.target.user}@${shell.target.host}`;
}

/** The command to run now, for the same names. @param more flags besides */
export function commandFor(names: AccessNames, ...more: readonly string[]): string {
  const words = [...nameFlags(names), ...more];
  return ["$ npm run pve-init", ...(words.length === 0 ? [] : ["--", ...words])].join(" ");
}

/** Commands for people, as they would be typed on the node. */
export function shownChanges(changes: readonly AccessChange[]): string[] {
  return changes.map(({ words }) => `  ${quoteWords(words)}`);
}

/** "tasks", "tasks and tasks-2", "tasks, tasks-2 and tasks-3" */
export function inWords(names: readonly string[]): string {
  const before = names.slice(0, -1).join(", ");
  return [...(before === "" ? [] : [before]), ...names.slice(-1)].join(" and ");
}

/** @throws {UsageError} where what is saved to .env would not count */
export function demandDotenvCounts({ sources, dotenv }: InitRequest): void {
  const names: readonly SettingName[] = ["PM_API_TOKEN_ID", "PM_API_TOKEN_SECRET"];
  const stronger = sources.slice(
    0,
    sources.findIndex(({ name }) => name === ".env"),
  );
  const given = names.filter((name) => givenText(name, stronger) !== undefined);
  if (given.length === 0) return;
  throw new UsageError({
    what: `${given.join(" and ")} ${given.length > 1 ? "are" : "is"} set in the environment, which counts more than .env`,
    why: `The new token is saved to ${dotenv}, where it would not be looked for`,
    todo: ["Take it out of the environment and run this again:", `$ unset ${given.join(" ")}`],
    left: ["Nothing was changed"],
  });
}
