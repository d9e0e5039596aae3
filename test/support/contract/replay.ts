import { readFileSync } from "node:fs";
import { Agent, request } from "node:https";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { createDispatch, serveApi } from "../../../lib/sandbox/api/index.ts";
import { AgentUnreachable, type GuestRuntime } from "../../../lib/sandbox/hooks.ts";
import type { World } from "../../../lib/sandbox/world/index.ts";
import { normalise, shapeOf } from "./normalise.ts";
import { SECRET } from "./recorded-world.ts";
import type { Exchange } from "./recordings.ts";
import { type RecordedForm, UploadBody } from "./upload-body.ts";

/** How an exchange is treated that cannot be replayed or compared as a whole; each with its reason. */
export interface Exception {
  /** Not replayed at all. */
  readonly skip?: string;
  /** Only members and types are compared. */
  readonly shape?: string;
}

export interface Replay {
  readonly replayed: number;
  readonly skipped: number;
  /** "METHOD /path: reason" of each call that was answered with 403, then "TASK: reason" of each task that failed. */
  readonly refusals: readonly string[];
  /** One text for each exchange that was answered differently. */
  readonly differences: readonly string[];
}

export interface ReplayOptions {
  readonly exceptions: Readonly<Record<number, Exception>>;
  /** What somebody did to the real node by hand before an exchange. */
  readonly before?: Readonly<Record<number, (world: World) => Promise<void> | void>>;
  /** End with the first call that is answered with 403. */
  readonly untilRefused?: boolean;
}

interface Answer {
  readonly status: number;
  readonly reason: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly text: string;
}

const TASK_POLL = /\/tasks\/(?<upid>UPID[^/]+)\/(?<what>status|log)$/;

/** Send a recorded flow's requests to a served copy of the world and compare the answers. */
export async function replay(
  world: World,
  exchanges: readonly Exchange[],
  options: ReplayOptions,
): Promise<Replay> {
  let agent: Exchange | undefined;
  const guests = recordedGuests(() => agent);
  const server = await serveApi(world, createDispatch(world, guests));
  const connections = new Agent({ keepAlive: true, ca: readFileSync(server.caFile) });
  const upids = new Map<string, string>();
  const found: string[] = [];
  const refusals: string[] = [];
  let skipped = 0;
  try {
    for (const exchange of exchanges) {
      const { skip, shape } = options.exceptions[exchange.seq] ?? {};
      await options.before?.[exchange.seq]?.(world);
      if (skip !== undefined) {
        skipped += 1;
        continue;
      }
      agent = exchange;
      await untilAsFar(world, exchange, upids);
      const answer = await send(server.url.replace("/api2/json", ""), connections, exchange, upids);
      if (answer.status === 403) refusals.push(`${exchange.method} ${callOf(exchange)}: ${answer.reason}`);
      rememberUpid(exchange, answer, upids);
      const difference = compare(exchange, answer, shape !== undefined);
      if (difference !== undefined) found.push(difference);
      if (options.untilRefused === true && refusals.length > 0) break;
    }
  } finally {
    connections.destroy();
    await server.close();
    await world.tasks.close();
  }
  const failed = world.tasks.list().filter(({ exitstatus }) => exitstatus !== "OK");
  refusals.push(...failed.map(({ type, exitstatus }) => `${type}: ${exitstatus}`));
  return { replayed: exchanges.length - skipped, skipped, refusals, differences: found };
}

/** The path below /api2/json. */
function callOf({ path }: Exchange): string {
  return path.replace("/api2/json", "");
}

/** Guests whose agents answer what was recorded. */
function recordedGuests(current: () => Exchange | undefined): GuestRuntime {
  return {
    started: async () => {},
    stopped: async () => {},
    destroyed: async () => {},
    close: async () => {},
    agent: async () => {
      const { status, reason, body } = current() ?? {};
      if (status !== 200) throw new AgentUnreachable(reason);
      return (body as { data: { result: unknown } }).data.result;
    },
  };
}

/** Where the recording saw a task's end, ours has to have ended too. */
async function untilAsFar(
  world: World,
  exchange: Exchange,
  upids: ReadonlyMap<string, string>,
): Promise<void> {
  const upid = upids.get(decodeURIComponent(TASK_POLL.exec(exchange.path)?.groups?.upid ?? ""));
  if (upid === undefined) return;
  const text = JSON.stringify(exchange.body);
  if (/"stopped"|TASK (?:OK|ERROR)/.test(text)) await world.tasks.finished(upid);
  // A task that has just begun may not have written its first lines.
  else await sleep(20);
}

function rememberUpid(exchange: Exchange, answer: Answer, upids: Map<string, string>): void {
  const recorded = (exchange.body as { data?: unknown } | undefined)?.data;
  if (typeof recorded !== "string" || !recorded.startsWith("UPID:") || answer.status !== 200) return;
  const { data } = JSON.parse(answer.text) as { data: unknown };
  if (typeof data === "string") upids.set(recorded, data);
}

function compare(exchange: Exchange, answer: Answer, shapeOnly: boolean): string | undefined {
  const complaints: string[] = [];
  const check = (what: string, recorded: unknown, ours: unknown): void => {
    complaints.push(...differences(recorded, ours, what));
  };
  check("status", exchange.status, answer.status);
  check("reason", normalise(exchange.reason), normalise(answer.reason));
  check("content type", exchange.headers["content-type"], answer.headers["content-type"]);
  check("pragma", exchange.headers.pragma, answer.headers.pragma);
  const [recorded, ours] = [bodyOf(exchange.body ?? exchange.bodyText), bodyOf(parsed(answer.text))];
  if (shapeOnly) check("shape", shapeOf(recorded), shapeOf(ours));
  else check("body", ...alike(exchange, normalise(recorded), normalise(ours)));
  if (complaints.length === 0) return undefined;
  return `#${exchange.seq} ${exchange.method} ${exchange.path}\n${complaints.join("\n")}`;
}

/** Where two values differ, the smallest parts that do. */
function differences(recorded: unknown, ours: unknown, path: string): string[] {
  if (isDeepStrictEqual(recorded, ours)) return [];
  if (isObject(recorded) && isObject(ours)) {
    const keys = [...new Set([...Object.keys(recorded), ...Object.keys(ours)])];
    return keys.flatMap((key) => differences(recorded[key], ours[key], `${path}.${key}`));
  }
  return [`  ${path}\n    recorded ${JSON.stringify(recorded)}\n    ours     ${JSON.stringify(ours)}`];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/** Our tasks may be quicker: one that the recording saw running may have ended well. */
function alike(exchange: Exchange, recorded: unknown, ours: unknown): [unknown, unknown] {
  if (TASK_POLL.exec(exchange.path)?.groups?.what !== "status") return [recorded, ours];
  const [theirs, mine] = [recorded, ours].map((body) => (body as { data?: Record<string, unknown> })?.data);
  if (theirs?.status !== "running" || mine?.status !== "stopped") return [recorded, ours];
  const { exitstatus: _, ...rest } = mine;
  return [theirs, { ...rest, status: "running" }];
}

function bodyOf(body: unknown): unknown {
  return body === undefined || body === "" ? undefined : body;
}

function parsed(text: string): unknown {
  try {
    return text === "" ? undefined : JSON.parse(text);
  } catch {
    return text;
  }
}

async function send(
  base: string,
  connections: Agent,
  exchange: Exchange,
  upids: ReadonlyMap<string, string>,
): Promise<Answer> {
  const { method, auth, query, reqType } = exchange;
  const path = exchange.path
    .split("/")
    .map((part) => upids.get(decodeURIComponent(part)) ?? part)
    .join("/");
  const search = query === null ? "" : `?${new URLSearchParams(query)}`;
  const headers: Record<string, string> = {};
  if (auth === "cookie") headers.cookie = "PVEAuthCookie=nonsense";
  else if (auth !== null) {
    headers.authorization = auth.replace("***", exchange.status === 401 ? "wrong" : SECRET);
  }
  const body = bodyFor(exchange);
  if (body instanceof UploadBody) headers["content-type"] = body.type;
  else if (reqType !== null) headers["content-type"] = reqType;
  return await new Promise((resolve, reject) => {
    const call = request(`${base}${path}${search}`, { method, headers, agent: connections }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("end", () => {
        const { "content-type": type, pragma } = response.headers;
        resolve({
          status: response.statusCode ?? 0,
          reason: response.statusMessage ?? "",
          headers: { "content-type": type, pragma },
          text,
        });
      });
    });
    call.on("error", reject);
    call.end(body instanceof UploadBody ? body.bytes : body);
  });
}

function bodyFor({ reqType, params }: Exchange): UploadBody | string | undefined {
  if (params === null) return undefined;
  if (reqType?.startsWith("multipart/form-data")) return new UploadBody(params as unknown as RecordedForm);
  if (reqType === "application/json") return JSON.stringify(params);
  if (reqType === "text/plain") return "x";
  return new URLSearchParams(params as Record<string, string>).toString();
}
