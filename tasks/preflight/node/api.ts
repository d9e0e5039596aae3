import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import type { Finding } from "../../../lib/check/index.ts";
import { formatDuration } from "../../../lib/duration.ts";
import { messageOf, TaskError } from "../../../lib/errors.ts";
import {
  ApiFailure,
  apiTrouble,
  type MissingPrivilege,
  missingPrivileges,
  releaseOf,
  version,
} from "../../../lib/proxmox/index.ts";
import { elsewhere, type NodeLook, seen } from "./look.ts";

/** Days before its end from which something is complained about. */
export const SOON_DAYS = 30;
export const DAY_MS = 24 * 60 * 60_000;

/** Whether the name in the API's address leads anywhere. */
export async function nameFindings({ settings }: NodeLook): Promise<Finding[]> {
  const host = settings.PM_API_URL?.hostname.replace(/^\[|\]$/g, "") ?? "";
  if (isIP(host) !== 0) return [seen(`${host} is an address`)];
  try {
    const found = await lookup(host, { all: true });
    return [seen(`${host} is ${found.map(({ address }) => address).join(", ")}`)];
  } catch (error) {
    throw new TaskError({
      what: `The name ${host} is not known`,
      why: messageOf(error),
      todo: [
        "Ask your name server yourself:",
        `$ getent hosts ${host}`,
        "Or use the node's address in PM_API_URL, with PM_TLS_CA or PM_TLS_FINGERPRINT",
      ],
      cause: error,
    });
  }
}

/** Whether anything answers that speaks as the API does. */
export async function apiFindings({ api, settings }: NodeLook, signal: AbortSignal): Promise<Finding[]> {
  const origin = settings.PM_API_URL?.origin ?? "";
  try {
    await version(api, signal);
  } catch (error) {
    signal.throwIfAborted();
    const trouble = apiTrouble(error);
    if (trouble === "name") throw elsewhere("its name is not known", "node/name");
    if (trouble === "certificate")
      throw elsewhere("nothing is sent to it until it is trusted", "node/certificate");
    if (trouble === "connection") throw error;
    return [seen(`${origin} answers as Proxmox does`)];
  }
  const { sentAt, receivedAt } = api.heardClock ?? { sentAt: 0, receivedAt: 0 };
  return [seen(`${origin} answers within ${formatDuration(receivedAt - sentAt)}`)];
}

/** Whether the token is known, and for how long. */
export async function tokenFindings(look: NodeLook, signal: AbortSignal): Promise<Finding[]> {
  const id = look.settings.PM_API_TOKEN_ID ?? "";
  let end: number | undefined;
  try {
    end = await tokenEnd(look, id, signal);
  } catch (error) {
    signal.throwIfAborted();
    const trouble = await version(look.api, signal).then(() => undefined, apiTrouble);
    if (trouble === "token") {
      const { why, todo } = refusedOf(error);
      throw new TaskError({
        what: `The token ${id} is not accepted`,
        ...(why === undefined ? {} : { why }),
        todo: [...todo, "Make a new one, with the privileges that the tasks need:", "$ npm run pve-init"],
      });
    }
    if (trouble !== undefined)
      throw elsewhere(
        "nothing can be asked of the API",
        `node/${trouble === "connection" ? "api" : trouble}`,
      );
    if (!(error instanceof ApiFailure)) throw error;
    const [user = ""] = id.split("!");
    return [
      seen(`${id} is accepted; when it ends the token itself may not see`, [
        "On the node, as root:",
        `$ pveum user token list ${user}`,
      ]),
    ];
  }
  if (end === undefined) return [seen(`${id} is accepted and does not end`)];
  const days = Math.floor((end - Date.now()) / DAY_MS);
  const evidence = `${id} is accepted until ${dayOf(new Date(end))}, ${inDays(days)}`;
  if (days >= SOON_DAYS) return [seen(evidence)];
  return [
    { state: "warning", evidence, fix: ["Replace it before it ends:", "$ npm run pve-init -- --rotate"] },
  ];
}

function refusedOf(error: unknown): Pick<TaskError, "why" | "todo"> {
  return error instanceof TaskError ? error : { why: messageOf(error), todo: [] };
}

/** A token may not look at itself on every release: root on the node may. */
async function tokenEnd(look: NodeLook, id: string, signal: AbortSignal): Promise<number | undefined> {
  try {
    return await look.facts(signal).tokenEnd(id);
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof ApiFailure) || error.status === 401) throw error;
    const [user = "", name = ""] = id.split("!");
    const words = ["pveum", "user", "token", "list", user, "--output-format", "json"];
    const answer = await look.run(words, signal).catch(() => {
      throw error;
    });
    const rows = JSON.parse(answer.stdout) as readonly { tokenid?: unknown; expire?: unknown }[];
    const expire = Number(rows.find(({ tokenid }) => tokenid === name)?.expire ?? 0);
    return expire === 0 ? undefined : expire * 1000;
  }
}

/** Whether the node's release is one that the tasks know. */
export async function versionFindings(look: NodeLook, signal: AbortSignal): Promise<Finding[]> {
  const found = await look.ask(signal, async (_, api) => await version(api, signal));
  releaseOf(found);
  return [seen(`Proxmox VE ${found}`)];
}

/** Which privileges the token lacks, each with its path and the tasks that need it. */
export async function privilegeFindings(look: NodeLook, signal: AbortSignal): Promise<Finding[]> {
  const missing = await look.ask(signal, async (_, api) => {
    const found = await version(api, signal);
    try {
      releaseOf(found);
    } catch {
      throw elsewhere(`what Proxmox VE ${found} asks for is not known`, "node/version");
    }
    return await missingPrivileges(api, look.settings, signal);
  });
  if (missing.length === 0) return [seen("Every task may do what it has to")];
  const groups = new Map<string, MissingPrivilege[]>();
  for (const row of missing) {
    const what = `${row.privilege} on ${row.path}`;
    groups.set(what, [...(groups.get(what) ?? []), row]);
  }
  return [
    {
      state: "failed",
      evidence: [...groups].map(([what, rows]) => `${what} is missing: ${reasonOf(rows)}`).join("\n"),
      fix: [
        "Let the tasks' role, user and token be set right; it shows what it does, and asks:",
        "$ npm run pve-init",
      ],
    },
  ];
}

function reasonOf(rows: readonly MissingPrivilege[]): string {
  const purposes = [...new Set(rows.map(({ purpose }) => purpose))];
  const tasks = [...new Set(rows.map(({ task }) => task))];
  return `${purposes.join("; ")} (${tasks.join(", ")})`;
}

/** "2027-03-01". */
export function dayOf(date: Date): string {
  return date.toISOString().slice(0, 10);
}

/** "in 12 days", "5 days ago". */
export function inDays(days: number): string {
  const count = (number: number): string => (number === 1 ? "1 day" : `${number} days`);
  return days < 0 ? `${count(-days)} ago` : days === 0 ? "today" : `in ${count(days)}`;
}
