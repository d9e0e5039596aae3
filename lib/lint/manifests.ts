import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { temporaryFolder } from "../temporary.ts";
import { type LintOptions, lint, parseReport } from "./remark.ts";
import { definedSchemas, kubernetesSchemas, SCHEMA_TEMPLATE } from "./schemas.ts";

/** Manifests that belong together: what a kustomization renders, or a file. */
export interface ManifestSet {
  /** For messages: "k8s/argo". */
  readonly name: string;
  /** YAML documents. */
  readonly text: string;
}

/** What does not agree with an object's schema. */
export interface SchemaProblem {
  readonly set: string;
  readonly kind: string;
  readonly object: string;
  /** The field, as a JSON pointer; undefined when it is about the whole object. */
  readonly path: string | undefined;
  readonly message: string;
  /** There is no schema for this kind of object: nothing is known about it. */
  readonly unknown: boolean;
}

export interface SchemaCheckOptions extends LintOptions {
  /** Manifests that define kinds of objects, and are not checked themselves. */
  readonly definitions: readonly string[];
  /** Kubernetes' own description of its API (swagger.json), and the version it is of. */
  readonly description: string;
  readonly version: string;
  /** Where schemas are kept between runs. */
  readonly cacheDir: string;
}

/** @see https://github.com/yannh/kubeconform#usage */
const reportSchema = v.object({
  resources: v.optional(
    v.array(
      v.object({
        filename: v.string(),
        kind: v.string(),
        name: v.string(),
        version: v.string(),
        msg: v.string(),
      }),
    ),
    [],
  ),
});

const CRD = /^kind: CustomResourceDefinition\s*$/m;

/**
 * Compare manifests with the schemas of their kinds: Kubernetes' own, and those that the manifests define.
 * Fields that no schema has are problems, as they are for a strict API server.
 * @returns what does not agree; nothing when all is well
 * @throws {TaskError} when kubeconform cannot do its work
 */
export async function checkManifests(
  sets: readonly ManifestSet[],
  { definitions: more, description, version, cacheDir, ...options }: SchemaCheckOptions,
): Promise<SchemaProblem[]> {
  // Those that are rendered come last, and count.
  const texts = [...more, ...sets.map(({ text }) => text)];
  const definitions = [...new Set(texts.flatMap(documentsIn))].filter((text) => CRD.test(text));
  const folders = await Promise.all([
    kubernetesSchemas(description, cacheDir, version),
    definedSchemas(definitions, cacheDir),
  ]);
  const dir = temporaryFolder("homelab-manifests");
  try {
    const files = sets.map((_set, index) => `${index}.yaml`);
    await Promise.all(sets.map(({ text }, index) => writeFile(join(dir, `${index}.yaml`), text)));
    const locations = folders.flatMap((folder) => ["-schema-location", join(folder, SCHEMA_TEMPLATE)]);
    const args = ["-strict", "-output", "json", "-kubernetes-version", version, ...locations, ...files];
    const { resources } = parseReport(
      reportSchema,
      "kubeconform",
      await lint({ ...options, cwd: dir }, args, [0, 1]),
    );
    return resources.flatMap(({ filename, kind, name: object, msg }): SchemaProblem[] => {
      const set = sets[Number.parseInt(filename, 10)]?.name ?? filename;
      const unknown = /could not find schema/.test(msg);
      const problem = { set, kind, object, unknown };
      const parts = unknown ? [] : problemsIn(msg);
      if (parts.length === 0) return [{ ...problem, path: undefined, message: msg }];
      return parts.map((part) => ({ ...problem, ...part }));
    });
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** The single problems of a message: "… - at '/spec/x': got string, want integer - at '': …". */
function problemsIn(message: string): { path: string; message: string }[] {
  return [...message.matchAll(/- at '([^']*)': (.*?)(?=\s+- at '|$)/gs)]
    .map(([, path = "", words = ""]) => ({ path, message: words.trim() }))
    .filter(({ message: words }) => words !== "validation failed");
}

/** The documents of a YAML stream, as text. */
export function documentsIn(text: string): string[] {
  return text.split(/^---\s*$/m).filter((document) => /^kind: /m.test(document));
}
