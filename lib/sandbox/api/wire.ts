import type { ServerResponse } from "node:http";
import type { ApiError } from "../calls.ts";

/** What goes back over the wire. */
export interface WireAnswer {
  readonly status: number;
  /** The reason in the status line; "OK" for a 200. */
  readonly reason: string;
  /** Sent as JSON; undefined sends no content type. */
  readonly body: unknown;
  /** Sent as it is where there is no JSON. */
  readonly text?: string;
  /** The connection breaks after so many bytes of the body. */
  readonly cutAfter?: number;
}

/** How the server words a refusal. */
export function refusal(error: ApiError): WireAnswer {
  const { status, message, errors } = error;
  const reason = message.replace(/\s+/g, " ").trim();
  if (status === 506) return { status, reason, body: undefined, text: message };
  // A method that does not exist is reported without the line end that other failures have.
  const text = status === 501 ? message : `${message}\n`;
  return { status, reason, body: { data: null, message: text, ...(errors ? { errors } : {}) } };
}

/**
 * Send an answer, or the beginning of it.
 * @param now what the node's clock shows
 */
export function send(response: ServerResponse, answer: WireAnswer, now: number): void {
  const { status, reason, body, cutAfter } = answer;
  const text = Buffer.from(body === undefined ? (answer.text ?? "") : JSON.stringify(body));
  const headers: Record<string, string | number> = {
    "cache-control": "max-age=0",
    "content-length": text.length,
    date: new Date(now).toUTCString(),
    pragma: "no-cache",
    server: "pve-api-daemon/3.0",
  };
  if (body !== undefined) headers["content-type"] = "application/json;charset=UTF-8";
  response.writeHead(status, statusText(reason), headers);
  if (cutAfter === undefined) response.end(text);
  else
    response.write(text.subarray(0, Math.min(cutAfter, Math.max(0, text.length - 1))), () =>
      response.destroy(),
    );
}

/** A status line holds Latin characters only. */
function statusText(reason: string): string {
  return reason.replace(/[^\t\x20-\x7e\x80-\xff]/g, "?");
}
