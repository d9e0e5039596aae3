import { randomBytes } from "node:crypto";
import { hostname, userInfo } from "node:os";
import { processIdentity } from "./process-identity.ts";

/** Which run of a task something belongs to that lies on a node for a while: whoever finds it knows whose it is. */
export interface RunMark {
  /** Differs for each run: eight hexadecimal digits. */
  readonly id: string;
  /** "ann@laptop" */
  readonly by: string;
  readonly pid: number;
  /** Differs from that of a later process with the same pid. */
  readonly identity: string;
  /** When the run began, ISO 8601. */
  readonly since: string;
}

let mark: RunMark | undefined;

/** The mark of this process. */
export function runMark(): RunMark {
  mark ??= {
    id: randomBytes(4).toString("hex"),
    by: here(),
    pid: process.pid,
    identity: identityOf(process.pid) ?? "",
    since: new Date().toISOString().replace(/\.\d+Z$/, "Z"),
  };
  return mark;
}

/** "homelab run 1f2e3d4c by ann@laptop (process 4711, start-815) since 2026-11-26T14:57:55Z" */
export function formatMark({ id, by, pid, identity, since }: RunMark): string {
  return `homelab run ${id} by ${by} (process ${pid}, ${identity}) since ${since}`;
}

/** The mark in a text; undefined where there is none, so that nothing of somebody else is taken for ours. */
export function parseMark(text: string): RunMark | undefined {
  const form =
    /\bhomelab run ([0-9a-f]{8}) by (\S+) \(process (\d+), (\S+)\) since (\d{4}-\d{2}-\d{2}T[\d:]{8}Z)/;
  const [, id, by, pid, identity, since] = form.exec(text) ?? [];
  if (id === undefined || by === undefined || identity === undefined || since === undefined) return undefined;
  return { id, by, pid: Number(pid), identity, since };
}

/** Whether a run still goes on: known for those of this machine alone, undefined for all others. */
export function goesOn({ by, pid, identity }: RunMark): boolean | undefined {
  return by === here() ? identityOf(pid) === identity : undefined;
}

function here(): string {
  return `${userInfo().username}@${hostname()}`;
}

function identityOf(pid: number): string | undefined {
  return processIdentity(pid)?.replaceAll(" ", "-");
}
