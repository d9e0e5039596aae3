import { createHash, randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { parse } from "yaml";
import { messageOf, TaskError } from "../errors.ts";
import { definitionsFor, type JsonSchema, QUANTITY, strictSchema } from "./json-schema.ts";

/** Raise it when the files would be written otherwise: what an older version has left is then written anew. */
const FORM = 1;

/** How kubeconform finds a file: group (or the version, where there is no group), kind and version. */
export const SCHEMA_TEMPLATE = "{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json";

const ANYTHING: JsonSchema = {};
const schemaSchema = v.record(v.string(), v.unknown());
const kindsSchema = v.array(v.object({ group: v.string(), kind: v.string(), version: v.string() }));
const apiSchema = v.object({ definitions: v.record(v.string(), schemaSchema) });

/**
 * The schemas of all objects that Kubernetes itself has, made of its own description of its API.
 * @param description Kubernetes' api/openapi-spec/swagger.json
 * @param folder where the schemas of all versions are kept
 * @param version of Kubernetes, without a v
 * @returns the folder with this version's
 */
export async function kubernetesSchemas(
  description: string,
  folder: string,
  version: string,
): Promise<string> {
  const target = join(folder, `kubernetes-${version}-${FORM}`);
  if (existsSync(target)) return target;
  return await appear(target, async (draft) => {
    const { definitions } = v.parse(apiSchema, JSON.parse(await readFile(description, "utf8")));
    const strict: Record<string, JsonSchema> = {};
    for (const [name, schema] of Object.entries(definitions)) strict[name] = strictSchema(schema);
    for (const name of Object.keys(definitions)) {
      if (name.endsWith(".api.resource.Quantity")) strict[name] = QUANTITY;
      // The description has no type for what may be anything.
      if (/\.(?:JSON|JSONSchemaPropsOr\w+|RawExtension|FieldsV1)$/.test(name)) strict[name] = ANYTHING;
    }
    for (const [name, schema] of Object.entries(definitions)) {
      const kinds = v.safeParse(kindsSchema, schema["x-kubernetes-group-version-kind"]);
      // Those of all groups are no objects, but parts of requests (DeleteOptions).
      if (!kinds.success || kinds.output.length !== 1 || kinds.output[0] === undefined) continue;
      const needed = definitionsFor({ $ref: `#/definitions/${name}` }, strict);
      await write(draft, kinds.output[0], {
        $ref: `#/definitions/${name}`,
        definitions: Object.fromEntries(needed.map((each) => [each, strict[each] ?? ANYTHING])),
      });
    }
  });
}

const crdSchema = v.object({
  spec: v.object({
    group: v.string(),
    names: v.object({ kind: v.string() }),
    versions: v.array(
      v.object({
        name: v.string(),
        schema: v.optional(v.object({ openAPIV3Schema: v.optional(schemaSchema) })),
      }),
    ),
  }),
});

/**
 * The schemas of the objects that manifests define themselves.
 * @param documents the manifests that are CustomResourceDefinitions, as text
 * @param folder where schemas are kept
 * @returns the folder with these
 * @throws {TaskError} for a definition that cannot be understood
 */
export async function definedSchemas(documents: readonly string[], folder: string): Promise<string> {
  const digest = createHash("sha256").update(documents.join("\0")).digest("hex").slice(0, 16);
  const target = join(folder, `defined-${digest}-${FORM}`);
  if (existsSync(target)) return target;
  return await appear(target, async (draft) => {
    for (const document of documents) {
      const { spec } = readDefinition(document);
      for (const { name, schema } of spec.versions) {
        const strict = strictSchema(schema?.openAPIV3Schema ?? { type: "object" });
        const properties = { ...(strict.properties as object | undefined), metadata: { type: "object" } };
        await write(
          draft,
          { group: spec.group, kind: spec.names.kind, version: name },
          { ...strict, properties },
        );
      }
    }
  });
}

function readDefinition(document: string): v.InferOutput<typeof crdSchema> {
  try {
    return v.parse(crdSchema, parse(document));
  } catch (error) {
    const name = /^ {2}name: (.*)$/m.exec(document)?.[1] ?? "without a name";
    throw new TaskError({
      what: `The CustomResourceDefinition ${name} cannot be understood`,
      why: messageOf(error),
      todo: ["Get the manifests that hold it anew:", "$ npm run setup"],
      cause: error,
    });
  }
}

interface ObjectKind {
  readonly group: string;
  readonly kind: string;
  readonly version: string;
}

async function write(draft: string, { group, kind, version }: ObjectKind, schema: JsonSchema): Promise<void> {
  const folder = join(draft, group === "" ? version : group);
  await mkdir(folder, { recursive: true });
  const file = join(folder, `${kind.toLowerCase()}_${version}.json`);
  await writeFile(file, JSON.stringify({ $schema: "http://json-schema.org/draft-07/schema#", ...schema }));
}

/** Fill a folder elsewhere and put it in place complete, by one rename; two processes may do so at once. */
async function appear(target: string, fill: (draft: string) => Promise<void>): Promise<string> {
  const draft = `${target}.${randomUUID()}`;
  await mkdir(draft, { recursive: true });
  try {
    await fill(draft);
    await rename(draft, target).catch((error: unknown) => {
      if (!existsSync(target)) throw error;
    });
    return target;
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}
