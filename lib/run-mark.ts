import { randomBytes } from "node:crypto";
import { hostname, userInfo } from "node:os";

/** Which run of a task something belongs to that lies on a node for a while: whoever finds it knows whose it is. */
export interface RunMark {
  /** Differs for each run. */
  readonly id: string;
  /** "ann@laptop" */
  readonly by: string;
  /** When the run began, ISO 8601. */
  readonly since: string;
}

let mark: RunMark | undefined;

/** The mark of this process. */
export function runMark(): RunMark {
  mark ??= {
    id: randomBytes(4).toString("hex"),
    by: `${userInfo().username}@${hostname()}`,
    since: new Date().toISOString().replace(/\.\d+Z$/, "Z"),
  };
  return mark;
}

/** "homelab run 1f2e3d4c by ann@laptop since 2026-11-26T14:57:55Z" */
export function formatMark({ id, by, since }: RunMark): string {
  return `homelab run ${id} by ${by} since ${since}`;
}

/** The mark in a text; undefined where there is none, so that nothing of somebody else is taken for ours. */
export function parseMark(text: string): RunMark | undefined {
  const [, id, by, since] =
    /\bhomelab run ([0-9a-f]{8}) by (\S+) since (\d{4}-\d{2}-\d{2}T[\d:]{8}Z)/.exec(text) ?? [];
  return id === undefined || by === undefined || since === undefined ? undefined : { id, by, since };
}
