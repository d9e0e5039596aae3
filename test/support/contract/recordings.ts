import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** One exchange with a real server, as it was recorded. */
export interface Exchange {
  readonly seq: number;
  /** The authorization header with its secret masked, "cookie", or null. */
  readonly auth: string | null;
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>> | null;
  /** Content type of the request. */
  readonly reqType: string | null;
  readonly params: Readonly<Record<string, unknown>> | null;
  readonly status: number;
  readonly reason: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly bodyText?: string;
  /** What the recording was about. */
  readonly note?: string;
}

/** Where the recordings lie, beside the checkout. */
export const RECORDINGS = join(import.meta.dirname, "../../../../shared/pve");

/** Why tests against the recordings cannot run, or false when they can. */
export const recordingsMissing: string | false = existsSync(join(RECORDINGS, "api"))
  ? false
  : "the recordings of a real server are not beside this checkout";

/** A recorded flow, for example "tofu-create". */
export function recordedFlow(name: string): Exchange[] {
  const text = readFileSync(join(RECORDINGS, "api", `${name}.ndjson`), "utf8");
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Exchange);
}

/** A node of the API's own schema. */
export interface ApiNode {
  readonly path: string;
  readonly info?: Readonly<Record<string, { readonly parameters?: { readonly properties?: object } }>>;
  readonly children?: readonly ApiNode[];
}

/** Names of the parameters of every method of the real API, by "METHOD /path". */
export function realParameters(): ReadonlyMap<string, ReadonlySet<string>> {
  const found = new Map<string, ReadonlySet<string>>();
  const visit = (nodes: readonly ApiNode[]): void => {
    for (const { path, info = {}, children = [] } of nodes) {
      for (const [method, { parameters }] of Object.entries(info)) {
        found.set(`${method} ${path}`, new Set(Object.keys(parameters?.properties ?? {})));
      }
      visit(children);
    }
  };
  visit(JSON.parse(readFileSync(join(RECORDINGS, "apidoc.json"), "utf8")) as ApiNode[]);
  return found;
}
