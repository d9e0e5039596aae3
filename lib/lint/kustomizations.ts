import { readFile } from "node:fs/promises";
import { join, posix } from "node:path";
import * as v from "valibot";
import { parse } from "yaml";

/** A chart that a kustomization inflates. */
export interface Chart {
  readonly name: string;
  readonly repo: string;
  readonly version: string;
}

/** A kustomization that no other one lists: something that is applied or synced as it is. */
export interface KustomizationRoot {
  /** Its last folder, or as many as tell it from the others: "home". */
  readonly name: string;
  /** Relative to the repository, with slashes. */
  readonly path: string;
  readonly charts: readonly Chart[];
}

const names = v.nullish(v.array(v.string()));
const withPath = v.nullish(v.array(v.object({ path: v.optional(v.string()) })));
const generator = v.nullish(v.array(v.object({ files: names, envs: names, env: v.nullish(v.string()) })));

const schema = v.object({
  kind: v.optional(v.string(), "Kustomization"),
  resources: names,
  patches: withPath,
  patchesJson6902: withPath,
  patchesStrategicMerge: names,
  replacements: withPath,
  configurations: names,
  openapi: v.nullish(v.object({ path: v.optional(v.string()) })),
  configMapGenerator: generator,
  secretGenerator: generator,
  helmCharts: v.nullish(
    v.array(
      v.object({
        name: v.string(),
        repo: v.optional(v.string(), ""),
        version: v.optional(v.string(), ""),
        valuesFile: v.optional(v.string()),
        additionalValuesFiles: names,
      }),
    ),
  ),
});

/**
 * The kustomizations below k8s/ that nothing else includes.
 * @param root the repository's folder
 * @param files those of the tree
 */
export async function kustomizationRoots(
  root: string,
  files: readonly string[],
): Promise<KustomizationRoot[]> {
  const all = await readAll(root, files);
  const included = new Set(
    all.flatMap(({ path, resources }) => (resources ?? []).map((each) => posix.join(path, each))),
  );
  const roots = all.filter(({ path, kind }) => kind !== "Component" && !included.has(path));
  return roots.map(({ path, helmCharts }) => ({
    name: shortName(
      path,
      roots.map((each) => each.path),
    ),
    path,
    charts: helmCharts ?? [],
  }));
}

/**
 * The files that kustomizations use for something else than whole objects: patches, values of charts, what a ConfigMap is
 * made of, kustomize's own configuration. They agree with no schema by themselves.
 */
export async function partFiles(root: string, files: readonly string[]): Promise<string[]> {
  return (await readAll(root, files)).flatMap((kustomization) =>
    partsOf(kustomization).map((part) => posix.join(kustomization.path, part)),
  );
}

function partsOf({ helmCharts, openapi, ...rest }: Kustomization): string[] {
  const withPaths = [...(rest.patches ?? []), ...(rest.patchesJson6902 ?? []), ...(rest.replacements ?? [])];
  const generators = [...(rest.configMapGenerator ?? []), ...(rest.secretGenerator ?? [])];
  const written = [
    ...[...withPaths, ...(openapi ? [openapi] : [])].map(({ path }) => path),
    // Some patches are written out here instead of naming a file; no file has such a name.
    ...(rest.patchesStrategicMerge ?? []),
    ...(rest.configurations ?? []),
    ...generators.flatMap(({ files, envs, env }) => [
      ...(files ?? []).map((file) => file.replace(/^[^=]*=/, "")),
      ...(envs ?? []),
      env ?? undefined,
    ]),
    ...(helmCharts ?? []).flatMap(({ valuesFile, additionalValuesFiles }) => [
      valuesFile,
      ...(additionalValuesFiles ?? []),
    ]),
  ];
  return written.filter((each) => each !== undefined);
}

type Kustomization = v.InferOutput<typeof schema> & { readonly path: string };

async function readAll(root: string, files: readonly string[]): Promise<Kustomization[]> {
  return await Promise.all(
    files
      .filter((file) => /^k8s\/(?:.*\/)?kustomization\.ya?ml$/.test(file))
      .map(async (file) => ({ path: posix.dirname(file), ...(await read(join(root, file))) })),
  );
}

/** What cannot be understood is a root: kustomize says what is wrong with it. */
async function read(file: string): Promise<v.InferOutput<typeof schema>> {
  try {
    return v.parse(schema, parse(await readFile(file, "utf8")));
  } catch {
    return { kind: "Kustomization" };
  }
}

function shortName(path: string, all: readonly string[]): string {
  const parts = path.split("/");
  for (let count = 1; count < parts.length; count += 1) {
    const end = parts.slice(-count).join("/");
    if (all.filter((each) => each === end || each.endsWith(`/${end}`)).length === 1) {
      return end.replaceAll("/", "-");
    }
  }
  return path.replaceAll("/", "-");
}
