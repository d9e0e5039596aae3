import { type IncomingMessage, STATUS_CODES } from "node:http";
import type { Server } from "node:https";
import { setTimeout as sleep } from "node:timers/promises";
import { ApiError } from "../calls.ts";
import type { EffectOf, Faults } from "../faults/index.ts";
import type { World } from "../world/index.ts";
import type { Pair } from "../x509.ts";
import { faultyCertificate } from "./certificates.ts";
import { refusal, type WireAnswer } from "./wire.ts";

/** The connection is to break without an answer. */
export class ConnectionBroken extends Error {
  override readonly name = "ConnectionBroken";
}

/** Stands between a request and its handling. */
export type Intercept = (request: IncomingMessage, handle: () => Promise<WireAnswer>) => Promise<WireAnswer>;

/** Let the calls of the API fail as the rules say. */
export function interceptCalls(faults: Faults): Intercept {
  return async (request, handle) => {
    const path = decodePath((request.url ?? "").split("?")[0]?.replace("/api2/json", "") ?? "");
    const effects = faults.due("api", `${request.method} ${path}`);
    for (const effect of effects) {
      if ("delay" in effect) await sleep(effect.delay);
      else if ("cut" in effect) breakAfter(request, effect.cut);
      else if ("reset" in effect && effect.reset === "before") throw broken(request);
      else if ("page" in effect) return pageOf(effect.page);
      else if ("lock" in effect) return refusal(lockTimeout(path));
      else if ("status" in effect) return failed(effect);
    }
    const answer = await handle();
    for (const effect of effects) {
      if ("reset" in effect) throw broken(request);
      if ("truncate" in effect) return { ...answer, cutAfter: effect.truncate };
    }
    return answer;
  };
}

/**
 * Let the server show another certificate to the connections that the rules name.
 * @param usual what it shows otherwise
 */
export async function interceptConnections(
  server: Server,
  world: World,
  faults: Faults,
  usual: Pair,
): Promise<void> {
  const [expired, foreign] = [
    await faultyCertificate(world, "expired"),
    await faultyCertificate(world, "foreign"),
  ];
  const contexts = { usual, expired, foreign };
  let shown: keyof typeof contexts = "usual";
  // Before TLS's own listener, which takes whatever the server has at that moment.
  server.prependListener("connection", () => {
    const wanted = faults.due("tls", "connection")[0]?.certificate ?? "usual";
    if (wanted !== shown) server.setSecureContext(contexts[wanted]);
    shown = wanted;
  });
}

type StatusEffect = Extract<EffectOf<"api">, { status: number }>;

function failed({ status, message, errors }: StatusEffect): WireAnswer {
  // An authentication that failed says so in the status line alone.
  if (status === 401) return { status, reason: message, body: undefined };
  return refusal(new ApiError(status, message, errors));
}

/** What a proxy answers in the node's place. */
function pageOf(status: number): WireAnswer {
  const title = `${status} ${STATUS_CODES[status] ?? "Error"}`;
  const text = `<html>\n<head><title>${title}</title></head>\n<body><h1>${title}</h1></body>\n</html>\n`;
  return { status, reason: STATUS_CODES[status] ?? "Error", body: undefined, text };
}

function lockTimeout(path: string): ApiError {
  const vmid = /^\/nodes\/[^/]+\/qemu\/(?<vmid>\d+)/.exec(path)?.groups?.vmid ?? "";
  return new ApiError(500, `can't lock file '/var/lock/qemu-server/lock-${vmid}.conf' - got timeout`);
}

/** Break the connection once so many bytes of the request's body have come in. */
function breakAfter(request: IncomingMessage, bytes: number): void {
  let received = 0;
  // The listener alone would set the stream going before anybody else reads it.
  request.on("data", (chunk: Buffer) => {
    received += chunk.length;
    if (received >= bytes) request.destroy(broken(request));
  });
  request.pause();
}

function broken({ method, url }: IncomingMessage): ConnectionBroken {
  return new ConnectionBroken(`the connection of ${method} ${url} breaks`);
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
