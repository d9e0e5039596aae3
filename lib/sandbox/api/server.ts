import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../../errors.ts";
import { ApiError, type Caller, type Dispatch, type Method } from "../calls.ts";
import { routeSchema } from "../schema/index.ts";
import type { World } from "../world/index.ts";
import { AuthenticationError, authenticate } from "./authenticate.ts";
import { parseForm, type RawParams, readParams } from "./body.ts";
import { nodeCertificate } from "./certificates.ts";
import { findRoute } from "./router.ts";
import { routes } from "./routes/index.ts";
import { receiveUpload, removeLeftUploads, uploadBoundary } from "./upload.ts";

/** What goes back over the wire. */
export interface WireAnswer {
  readonly status: number;
  /** The reason in the status line; "OK" for a 200. */
  readonly reason: string;
  /** Sent as JSON; undefined sends no content type. */
  readonly body: unknown;
  /** Sent as it is where there is no JSON. */
  readonly text?: string;
}

export interface ApiServerOptions {
  /** One of the loopback's; chosen by the system when it is left out. */
  readonly port?: number;
  /** One line for each failure that is a bug of ours. */
  readonly log?: (line: string) => void;
  /** Stands between every request and its handling: what faults are put in here. */
  readonly intercept?: (request: IncomingMessage, handle: () => Promise<WireAnswer>) => Promise<WireAnswer>;
}

export interface ApiServer {
  /** "https://127.0.0.1:PORT/api2/json" */
  readonly url: string;
  /** The cluster's CA on the host. */
  readonly caFile: string;
  close(): Promise<void>;
}

const PREFIX = "/api2/json";
/** For whoever opens the address in a browser. */
const WELCOME = "This is the sandbox of Homelab: a simulated Proxmox VE node, with its API alone.\n";
/** About as long as a real node takes to answer a call that starts a task. */
const TASK_GRACE_MS = 100;
const METHODS: readonly string[] = ["GET", "POST", "PUT", "DELETE"];

/** Serve the API over HTTPS on the loopback interface. */
export async function serveApi(
  world: World,
  dispatch: Dispatch,
  options: ApiServerOptions = {},
): Promise<ApiServer> {
  const { caFile, ...tls } = await nodeCertificate(world);
  removeLeftUploads(world);
  const log = options.log ?? (() => {});
  const intercept = options.intercept ?? (async (_, handle) => await handle());
  const server = createServer(
    { ...tls, keepAliveTimeout: 30_000, requestTimeout: 0 },
    (request, response) => {
      intercept(request, async () => await handle(world, dispatch, request, log)).then(
        (answer) => send(response, answer),
        (error: unknown) => {
          log(`${request.method} ${request.url}: ${messageOf(error)}`);
          response.destroy();
        },
      );
    },
  );
  await listen(server, options.port ?? 0);
  const { port } = server.address() as AddressInfo;
  return { url: `https://127.0.0.1:${port}${PREFIX}`, caFile, close: async () => await close(server) };
}

async function handle(
  world: World,
  dispatch: Dispatch,
  request: IncomingMessage,
  log: (line: string) => void,
): Promise<WireAnswer> {
  try {
    return await answerTo(world, dispatch, request);
  } catch (error) {
    // Told in the status line alone.
    if (error instanceof AuthenticationError) {
      return { status: error.status, reason: error.message, body: undefined };
    }
    if (error instanceof ApiError) return refusal(error);
    log(`${request.method} ${request.url}: ${error instanceof Error ? error.stack : String(error)}`);
    return refusal(new ApiError(500, messageOf(error)));
  }
}

async function answerTo(world: World, dispatch: Dispatch, request: IncomingMessage): Promise<WireAnswer> {
  const method = request.method ?? "GET";
  if (!isMethod(method)) {
    return { status: 501, reason: `method '${method}' not available`, body: undefined };
  }
  const [address = "", query = ""] = (request.url ?? "").split("?");
  if (address === "/") return { status: 200, reason: "OK", body: undefined, text: WELCOME };
  if (!address.startsWith(`${PREFIX}/`)) {
    return { status: 404, reason: `no such file '${address}'`, body: undefined };
  }
  const path = address.slice(PREFIX.length);
  const caller = callerOf(world, method, path, request);
  const boundary = uploadBoundary(path, request);
  const { data, extra, task } =
    boundary === undefined
      ? await dispatch({ method, path, params: await paramsOf(query, request), caller })
      : await receiveUpload(world, dispatch, { path, caller, boundary }, request);
  if (task !== undefined) await endOrGrace(world, task.upid);
  return { status: 200, reason: "OK", body: { data, ...extra } };
}

async function paramsOf(query: string, request: IncomingMessage): Promise<RawParams> {
  return { ...parseForm(query), ...(await readParams(request)) };
}

/** A short task has ended by the time its caller hears of it, so that the caller's first poll sees the result. */
async function endOrGrace(world: World, upid: string): Promise<void> {
  const timer = new AbortController();
  const grace = sleep(TASK_GRACE_MS, undefined, { signal: timer.signal }).catch(() => {});
  await Promise.race([world.tasks.finished(upid), grace]);
  timer.abort();
}

/** A few things are told to everybody, which must be known before the route is carried out. */
function callerOf(world: World, method: Method, path: string, request: IncomingMessage): Caller {
  const { authorization, cookie } = request.headers;
  const found = findRoute(routes, method, path);
  const isPublic = found !== undefined && routeSchema(found.name).user === "world";
  if (isPublic && authorization === undefined) return { user: "" };
  return authenticate(world.access, authorization, cookie);
}

function refusal(error: ApiError): WireAnswer {
  const { status, message, errors } = error;
  const reason = message.replace(/\s+/g, " ").trim();
  if (status === 506) return { status, reason, body: undefined, text: message };
  // A method that does not exist is reported without the line end that other failures have.
  const text = status === 501 ? message : `${message}\n`;
  return { status, reason, body: { data: null, message: text, ...(errors ? { errors } : {}) } };
}

function send(response: ServerResponse, answer: WireAnswer): void {
  const { status, reason, body } = answer;
  const text = body === undefined ? (answer.text ?? "") : JSON.stringify(body);
  const headers: Record<string, string | number> = {
    "cache-control": "max-age=0",
    "content-length": Buffer.byteLength(text),
    pragma: "no-cache",
    server: "pve-api-daemon/3.0",
  };
  if (body !== undefined) headers["content-type"] = "application/json;charset=UTF-8";
  response.writeHead(status, statusText(reason), headers);
  response.end(text);
}

/** A status line holds Latin characters only. */
function statusText(reason: string): string {
  return reason.replace(/[^\t\x20-\x7e\x80-\xff]/g, "?");
}

function isMethod(method: string): method is Method {
  return METHODS.includes(method);
}

async function listen(server: Server, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
}

async function close(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
