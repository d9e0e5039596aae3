import { FormatError } from "./format-error.ts";
import { checkFormat } from "./formats.ts";
import { isOptional } from "./lookup.ts";
import { keysOf, parsePropertyString } from "./property-string.ts";
import type { Complaints, ParameterSchema, PropertySchemas } from "./types.ts";

/**
 * Check the values of an object, one level deep.
 * @param prefix of the names in complaints: "" for parameters, "net0." inside a property string
 */
export function checkObject(
  values: Readonly<Record<string, string>>,
  schemas: PropertySchemas,
  prefix: string,
  complaints: Complaints,
): void {
  for (const [key, schema] of Object.entries(schemas)) {
    if (schema.alias === undefined && !isOptional(schema) && values[key] === undefined) {
      complaints[prefix + key] = "property is missing and it is not optional";
    }
  }
  for (const [key, value] of Object.entries(values)) {
    const schema = Object.hasOwn(schemas, key) ? schemas[key] : undefined;
    if (schema === undefined) {
      complaints[prefix + key] =
        "property is not defined in schema and the schema does not allow additional properties";
      continue;
    }
    const { requires } = schema;
    if (requires !== undefined && values[requires] === undefined) {
      complaints[prefix + requires] = `missing property required by '${prefix}${key}'`;
    }
    const complaint = checkValue(value, schema, prefix + key);
    if (complaint !== undefined) complaints[prefix + key] = complaint;
  }
}

/** What is wrong with a value, in the server's order of checks; undefined when it is right. */
export function checkValue(value: string, schema: ParameterSchema, name: string): string | undefined {
  if (!hasType(value, schema)) return `type check ('${schema.type}') failed - got '${value}'`;
  return (
    checkFormatOf(value, schema, name) ??
    checkText(value, schema) ??
    checkNumber(value, schema) ??
    checkEnum(value, schema)
  );
}

function hasType(value: string, { type }: ParameterSchema): boolean {
  if (type === "integer") return /^[+-]?\d+$/.test(value);
  if (type === "number") return /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$/.test(value);
  if (type === "boolean") return value === "0" || value === "1";
  return true;
}

function checkFormatOf(value: string, schema: ParameterSchema, name: string): string | undefined {
  try {
    const keys = keysOf(schema);
    if (keys !== undefined) parsePropertyString(value, keys, name);
    if (typeof schema.format === "string") checkFormat(schema.format, value);
    return undefined;
  } catch (error) {
    if (error instanceof FormatError) return `invalid format - ${error.message}`;
    throw error;
  }
}

function checkText(value: string, { pattern, minLength, maxLength }: ParameterSchema): string | undefined {
  if (pattern !== undefined && !new RegExp(`^(?:${pattern})$`, "s").test(value)) {
    return "value does not match the regex pattern";
  }
  if (maxLength !== undefined && value.length > maxLength) {
    return `value may only be ${maxLength} characters long`;
  }
  if (minLength !== undefined && value.length < minLength) {
    return `value must be at least ${minLength} characters long`;
  }
  return undefined;
}

function checkNumber(value: string, { type, minimum, maximum }: ParameterSchema): string | undefined {
  if (type !== "integer" && type !== "number") return undefined;
  if (maximum !== undefined && Number(value) > maximum)
    return `value must have a maximum value of ${maximum}`;
  if (minimum !== undefined && Number(value) < minimum)
    return `value must have a minimum value of ${minimum}`;
  return undefined;
}

function checkEnum(value: string, schema: ParameterSchema): string | undefined {
  if (schema.enum === undefined || schema.enum.some((allowed) => String(allowed) === value)) return undefined;
  return `value '${value}' does not have a value in the enumeration '${schema.enum.join(", ")}'`;
}
