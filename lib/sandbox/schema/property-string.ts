import { checkObject } from "./check.ts";
import { FormatError } from "./format-error.ts";
import { named } from "./named-formats.ts";
import type { Complaints, ParameterSchema, PropertySchemas } from "./types.ts";

/** The keys of a property string. */
export type PropertyValues = Readonly<Record<string, string>>;

/** The keys of a property string that has them by name or inline, or undefined for plain values. */
export function keysOf(schema: ParameterSchema): PropertySchemas | undefined {
  return typeof schema.format === "object" ? schema.format : named(schema.format);
}

/**
 * Read a property string such as "virtio=BC:24:11:00:00:01,bridge=vmbr0".
 * @param name the parameter's name, for complaints
 * @throws {FormatError}
 */
export function parsePropertyString(text: string, schemas: PropertySchemas, name: string): PropertyValues {
  const values = split(text, schemas);
  const complaints: Complaints = {};
  checkObject(values, schemas, `${name}.`, complaints);
  const lines = Object.keys(complaints)
    .sort()
    .map((key) => `${key}: ${complaints[key]}\n`);
  if (lines.length > 0) throw new FormatError(`format error\n${lines.join("")}`);
  return values;
}

/**
 * Write a property string: the default key's value first, then the keys by name. Where a key names another one's value
 * ("model=virtio,macaddr=X"), both are written as one ("virtio=X"), which comes first.
 */
export function printPropertyString(values: PropertyValues, schemas: PropertySchemas): string {
  const folded = Object.entries(schemas).find(
    ([key, { alias, keyAlias }]) =>
      alias !== undefined &&
      keyAlias !== undefined &&
      values[keyAlias] === key &&
      values[alias] !== undefined,
  );
  const [name, { alias = "", keyAlias = "" } = {}] = folded ?? [];
  const first = name === undefined ? [] : [`${name}=${values[alias]}`];
  const rest = Object.entries(values).filter(
    ([key]) => folded === undefined || (key !== alias && key !== keyAlias),
  );
  const isDefault = ([key]: [string, string]): boolean => schemas[key]?.default_key === 1;
  return [
    ...first,
    ...rest.filter(isDefault).map(([, value]) => value),
    ...rest
      .filter((entry) => !isDefault(entry))
      .map(([key, value]) => `${key}=${value}`)
      .sort(),
  ].join(",");
}

function split(text: string, schemas: PropertySchemas): Record<string, string> {
  const defaultKey = Object.keys(schemas).find((key) => schemas[key]?.default_key === 1);
  const values: Record<string, string> = {};
  const set = (key: string, value: string): void => {
    if (Object.hasOwn(values, key)) {
      throw new FormatError(`duplicate key in comma-separated list property: ${key}\n`);
    }
    values[key] = schemas[key]?.type === "boolean" ? (booleanOf(value) ?? value) : value;
  };
  for (const part of text.split(",")) {
    if (part.trim() === "") continue;
    const { key, value } = /^(?<key>[^=]+)=(?<value>.+)$/.exec(part)?.groups ?? {};
    if (key !== undefined && value !== undefined) {
      const { alias, keyAlias } = schemas[key] ?? {};
      if (alias !== undefined && keyAlias !== undefined) set(keyAlias, key);
      set(alias ?? key, value);
    } else if (part.includes("=")) {
      throw new FormatError("missing key in comma-separated list property\n");
    } else if (defaultKey === undefined) {
      throw new FormatError("value without key, but schema does not define a default key\n");
    } else {
      set(defaultKey, part);
    }
  }
  return values;
}

/** The words that the server takes for true and false. */
export function booleanOf(text: string): "1" | "0" | undefined {
  if (/^(?:1|on|yes|true)$/i.test(text)) return "1";
  if (/^(?:0|off|no|false)$/i.test(text)) return "0";
  return undefined;
}
