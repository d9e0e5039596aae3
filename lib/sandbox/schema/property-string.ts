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

/** Write a property string: the default key's value first, then the keys by name. */
export function printPropertyString(values: PropertyValues, schemas: PropertySchemas): string {
  const entries = Object.entries(values);
  const isDefault = ([key]: [string, string]): boolean => schemas[key]?.default_key === 1;
  const first = entries.filter(isDefault).map(([, value]) => value);
  const folded = foldAliases(
    entries.filter((entry) => !isDefault(entry)),
    schemas,
  );
  return [...first, ...folded.sort()].join(",");
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

/** "model=virtio,macaddr=X" is written "virtio=X". */
function foldAliases(entries: readonly [string, string][], schemas: PropertySchemas): string[] {
  const values = Object.fromEntries(entries);
  const folding = Object.entries(schemas).find(
    ([key, { alias, keyAlias }]) =>
      alias !== undefined &&
      keyAlias !== undefined &&
      values[keyAlias] === key &&
      values[alias] !== undefined,
  );
  if (folding === undefined) return entries.map(([key, value]) => `${key}=${value}`);
  const [key, { alias, keyAlias }] = folding;
  const rest = entries.filter(([name]) => name !== alias && name !== keyAlias);
  return [`${key}=${values[alias ?? ""]}`, ...rest.map(([name, value]) => `${name}=${value}`)];
}

/** The words that the server takes for true and false. */
export function booleanOf(text: string): "1" | "0" | undefined {
  if (/^(?:1|on|yes|true)$/i.test(text)) return "1";
  if (/^(?:0|off|no|false)$/i.test(text)) return "0";
  return undefined;
}
