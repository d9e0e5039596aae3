/** A JSON schema, or a part of one; only what Kubernetes' descriptions use of it is known here. */
export interface JsonSchema {
  readonly [keyword: string]: unknown;
}

/**
 * Make a schema of Kubernetes' API say what the API server enforces when it is strict: a field that is not described is
 * an error, null stands for "not set", and numbers may stand where the description says text only because they may not be
 * rounded.
 * @param schema as OpenAPI has it
 * @see https://kubernetes.io/docs/reference/using-api/api-concepts/#field-validation
 */
export function strictSchema(schema: JsonSchema): JsonSchema {
  return convert(schema, false) as JsonSchema;
}

const INT_OR_STRING = { oneOf: [{ type: "integer" }, { type: "string" }, { type: "null" }] };
/** Kept out: prose, and what only concerns the API server. */
const LEFT_OUT = /^(?:description|example|externalDocs|default|title|x-kubernetes-.*)$/;
/** Keywords whose value is a schema. */
const SCHEMA = new Set(["items", "additionalProperties", "not"]);
/** Keywords whose value is a list of schemas. */
const LIST = new Set(["allOf", "anyOf", "oneOf"]);
/** Keywords whose value is a map of schemas by name. */
const MAP = new Set(["properties", "patternProperties", "definitions"]);

/** @param alternative it stands beside the schema that names the fields, and need not name them */
function convert(value: unknown, alternative: boolean): unknown {
  if (!isObject(value)) return value;
  if (value["x-kubernetes-int-or-string"] === true || value.format === "int-or-string") return INT_OR_STRING;
  const result: Record<string, unknown> = {};
  for (const [keyword, inner] of Object.entries(value)) {
    if (LEFT_OUT.test(keyword)) continue;
    if (SCHEMA.has(keyword)) result[keyword] = convert(inner, false);
    // Alternatives only narrow what stands beside them: they do not have to name every field.
    else if (LIST.has(keyword))
      result[keyword] = Array.isArray(inner) ? inner.map((each) => convert(each, true)) : inner;
    else if (MAP.has(keyword) && isObject(inner))
      result[keyword] = mapValues(inner, (each) => convert(each, false));
    else result[keyword] = inner;
  }
  const open =
    value["x-kubernetes-preserve-unknown-fields"] === true ||
    value["x-kubernetes-embedded-resource"] === true;
  if (!alternative && isObject(value.properties) && value.additionalProperties === undefined && !open) {
    result.additionalProperties = false;
  }
  if (typeof value.type === "string") result.type = [value.type, "null"];
  if (Array.isArray(value.enum)) result.enum = [...value.enum, null];
  // Date and time are checked by their own parsers there; here they would only be checked half.
  delete result.format;
  return result;
}

/** A quantity such as a number of CPUs may be written as a number. */
export const QUANTITY: JsonSchema = { oneOf: [{ type: "string" }, { type: "number" }, { type: "null" }] };

/** The names of the definitions that a schema needs, directly or through others. */
export function definitionsFor(schema: JsonSchema, all: Readonly<Record<string, JsonSchema>>): string[] {
  const found = new Set<string>();
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) value.forEach(visit);
    if (!isObject(value)) return;
    const name = typeof value.$ref === "string" ? value.$ref.replace("#/definitions/", "") : undefined;
    if (name !== undefined && !found.has(name)) {
      found.add(name);
      visit(all[name]);
    }
    Object.values(value).forEach(visit);
  };
  visit(schema);
  return [...found].sort();
}

function mapValues(object: JsonSchema, change: (value: unknown) => unknown): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, change(value)]));
}

function isObject(value: unknown): value is JsonSchema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
