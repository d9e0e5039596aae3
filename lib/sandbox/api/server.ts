import type { IncomingMessage } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../../errors.ts";
import { ApiError, type Caller, type Dispatch, type Method } from "../calls.ts";
import type { Faults } from "../faults/index.ts";
import { routeSchema } from "../schema/index.ts";
import type { World } from "../world/index.ts";
import { AuthenticationError, authenticate } from "./authenticate.ts";
import { parseForm, type RawParams, readParams } from "./body.ts";
import { nodeCertificate } from "./certificates.ts";
import { ConnectionBroken, type Intercept, interceptCalls, interceptConnections } from "./interfere.ts";
import { findRoute } from "./router.ts";
import { routes } from "./routes/index.ts";
import { receiveUpload, removeLeftUploads, uploadBoundary } from "./upload.ts";
import { refusal, send, type WireAnswer } from "./wire.ts";

export interface ApiServerOptions {
  /** One of the loopback's; chosen by the system when it is left out. */
  readonly port?: number;
  /** One line for each failure that is a bug of ours. */
  readonly log?: (line: string) => void;
  /** What fails on purpose. */
  readonly faults?: Faults;
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
  const { faults } = options;
  const intercept: Intercept =
    faults === undefined ? async (_, handle) => await handle() : interceptCalls(faults);
  const server = createServer(
    { ...tls, keepAliveTimeout: 30_000, requestTimeout: 0 },
    (request, response) => {
      intercept(request, async () => await handle(world, dispatch, request, log)).then(
        (answer) => send(response, answer, world.now()),
        (error: unknown) => {
          log(`${request.method} ${request.url}: ${messageOf(error)}`);
          response.destroy();
        },
      );
    },
  );
  if (faults !== undefined) await interceptConnections(server, world, faults, tls);
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
    if (error instanceof ConnectionBroken) throw error;
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
