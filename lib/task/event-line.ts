import { redact } from "../secrets.ts";

/** An event as a line for machines. Secrets are removed before it is encoded: a quote in one would hide it after. */
export function eventLine(event: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(event, (_key, value: unknown) => (typeof value === "string" ? redact(value) : value));
}
