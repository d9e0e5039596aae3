import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type ApiNode, RECORDINGS } from "./recordings.ts";

/** What the schema says of an answer, or of a part of it. */
export interface AnswerSchema {
  readonly type?: string;
  readonly optional?: boolean | number | string;
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly properties?: Readonly<Record<string, AnswerSchema>>;
  readonly additionalProperties?: number | object;
  readonly items?: AnswerSchema;
}

interface Method {
  readonly returns?: AnswerSchema;
}

/** What the real API says that each method answers, by "METHOD /path". */
export function realAnswers(): ReadonlyMap<string, AnswerSchema> {
  const found = new Map<string, AnswerSchema>();
  const visit = (nodes: readonly ApiNode[]): void => {
    for (const { path, info = {}, children = [] } of nodes) {
      for (const [method, { returns }] of Object.entries(info as Readonly<Record<string, Method>>)) {
        if (returns !== undefined) found.set(`${method} ${path}`, returns);
      }
      visit(children);
    }
  };
  visit(JSON.parse(readFileSync(join(RECORDINGS, "apidoc.json"), "utf8")) as ApiNode[]);
  return found;
}

/** Where an answer is not as the schema says; figures may be text that reads as one, as Perl sends them. */
export function deviations(value: unknown, schema: AnswerSchema, at = "data"): string[] {
  const { type, properties = {}, items, pattern } = schema;
  if (type === "array") {
    if (!Array.isArray(value)) return [`${at} is no list`];
    return items === undefined
      ? []
      : value.flatMap((item, index) => deviations(item, items, `${at}[${index}]`));
  }
  if (type === "object") {
    if (typeof value !== "object" || value === null) return [`${at} is no object`];
    const given = value as Readonly<Record<string, unknown>>;
    const missing = Object.entries(properties).filter(
      ([name, { optional }]) => given[name] === undefined && !Number(optional ?? 0),
    );
    const closed = schema.additionalProperties === 0;
    return [
      ...missing.map(([name]) => `${at}.${name} is missing`),
      ...Object.entries(given).flatMap(([name, part]) => {
        const known = properties[name];
        // A real server sends null, too, for what is not there.
        if (part === null && Number(known?.optional ?? 0)) return [];
        if (known === undefined) return closed ? [`${at}.${name} is unknown`] : [];
        return deviations(part, known, `${at}.${name}`);
      }),
    ];
  }
  if (type === "null") return value === null ? [] : [`${at} is not null`];
  if (!isScalar(value, type)) return [`${at} is no ${type}: ${JSON.stringify(value)}`];
  if (schema.enum !== undefined && !schema.enum.some((one) => String(one) === String(value))) {
    return [`${at} is none of ${schema.enum.join(", ")}: ${String(value)}`];
  }
  if (
    pattern !== undefined &&
    !new RegExp(`^(?:${pattern.replaceAll("(?^:", "(?:")})$`).test(String(value))
  ) {
    return [`${at} does not match ${pattern}: ${String(value)}`];
  }
  return [];
}

function isScalar(value: unknown, type: string | undefined): boolean {
  if (type === "integer") return /^-?\d+$/.test(String(value));
  if (type === "number") return typeof value !== "object" && Number.isFinite(Number(value));
  if (type === "boolean") return value === 0 || value === 1 || value === "0" || value === "1";
  return type !== "string" || typeof value === "string" || typeof value === "number";
}
