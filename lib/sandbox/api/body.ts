import type { IncomingMessage } from "node:http";
import { ApiError } from "../calls.ts";
import type { RawValue } from "../schema/index.ts";

export type RawParams = Record<string, RawValue>;

/** Far above any form of this API; uploads have a way of their own. */
const LARGEST_BODY = 4 * 1024 * 1024;

/**
 * Read a form as the server does: fields end at "&" and at ";", and a value ends at a second "=". Clients have to
 * percent-encode all three.
 * @param text for example "name=a%3Bb&cores=2"
 */
export function parseForm(text: string): RawParams {
  const params: RawParams = {};
  for (const field of text.split(/[&;]/)) {
    if (field === "") continue;
    const [name = "", value = ""] = field.split("=").map(decodeField);
    const before = params[name];
    if (before === undefined) params[name] = value;
    else params[name] = [...(typeof before === "object" ? before : [String(before)]), value];
  }
  return params;
}

/**
 * The parameters in a request's body.
 * @throws {ApiError}
 */
export async function readParams(request: IncomingMessage): Promise<RawParams> {
  const text = (await readBody(request)).toString("utf8");
  const type = (request.headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase();
  if (text === "") return {};
  if (type === "application/x-www-form-urlencoded" || type === "") return parseForm(text);
  if (type === "application/json") return parseJson(text);
  throw new ApiError(506, `upload 'Content-Type '${request.headers["content-type"]}' not implemented`);
}

function parseJson(text: string): RawParams {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value as RawParams;
  } catch {
    // Falls through: the server's own words come from its parser's source line.
  }
  throw new ApiError(500, "malformed JSON string");
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    const bytes = chunk as Buffer;
    size += bytes.length;
    if (size > LARGEST_BODY) throw new ApiError(501, "for data too large");
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}

function decodeField(text: string): string {
  const spaced = text.replaceAll("+", " ");
  try {
    return decodeURIComponent(spaced);
  } catch {
    return spaced;
  }
}
