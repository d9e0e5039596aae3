import { checkValue } from "./check.ts";
import { parameterSchema, required } from "./lookup.ts";
import { booleanOf } from "./property-string.ts";
import type { Complaints, RouteSchema } from "./types.ts";

/** A parameter as it came in: from a form, a query or JSON. */
export type RawValue = string | number | boolean | readonly string[];

/** Parameters that the schema has accepted. Asking for one of another type is a mistake of ours. */
export class Params {
  readonly #values: Readonly<Record<string, string>>;
  readonly #lists: Readonly<Record<string, readonly string[]>>;

  constructor(
    values: Readonly<Record<string, string>>,
    lists: Readonly<Record<string, readonly string[]>> = {},
  ) {
    this.#values = values;
    this.#lists = lists;
  }

  /** The parameters as text; booleans are "1" and "0". */
  get values(): Readonly<Record<string, string>> {
    return this.#values;
  }

  /** An optional text. */
  text(name: string): string | undefined {
    return Object.hasOwn(this.#values, name) ? this.#values[name] : undefined;
  }

  /** A text that the schema requires. */
  required(name: string): string {
    const value = this.text(name);
    if (value === undefined) throw new Error(`${name} is not among the parameters`);
    return value;
  }

  /** An optional integer or number. */
  number(name: string): number | undefined {
    const value = this.text(name);
    return value === undefined ? undefined : Number(value);
  }

  /** The VM that the path names. */
  get vmid(): number {
    return Number(this.required("vmid"));
  }

  /** A boolean; false when it was not given. */
  flag(name: string): boolean {
    return this.text(name) === "1";
  }

  /** A list of texts; empty when it was not given. */
  list(name: string): readonly string[] {
    return this.#lists[name] ?? [];
  }
}

/**
 * Check parameters against a route's schema.
 * @returns the parameters, or the complaint about each that is wrong
 */
export function validate(
  route: RouteSchema,
  raw: Readonly<Record<string, RawValue>>,
): { readonly params: Params } | { readonly errors: Readonly<Record<string, string>> } {
  const errors: Complaints = {};
  const values: Record<string, string> = {};
  const lists: Record<string, readonly string[]> = {};
  for (const [name, given] of Object.entries(raw)) {
    const schema = parameterSchema(route, name);
    if (schema === undefined) {
      errors[name] = "property is not defined in schema and the schema does not allow additional properties";
    } else if (schema.type === "array") {
      lists[name] = typeof given === "object" ? given : [String(given)];
    } else {
      const value = textOf(given);
      const text = schema.type === "boolean" ? (booleanOf(value) ?? value) : value;
      const complaint = checkValue(text, schema, name);
      if (complaint === undefined) values[name] = text;
      else errors[name] = complaint;
      const { requires } = schema;
      if (requires !== undefined && raw[requires] === undefined) {
        errors[requires] = `missing property required by '${name}'`;
      }
    }
  }
  for (const name of required(route)) {
    if (raw[name] === undefined) errors[name] = "property is missing and it is not optional";
  }
  return Object.keys(errors).length > 0 ? { errors } : { params: new Params(values, lists) };
}

function textOf(value: RawValue): string {
  if (typeof value === "boolean") return value ? "1" : "0";
  return typeof value === "object" ? value.join("\0") : String(value);
}
