import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Check, type CheckControl, type Finding, Unavailable } from "../../lib/check/index.ts";
import type { DeclaredObject, KustomizationRoot, ManifestSet, SchemaProblem } from "../../lib/lint/index.ts";
import { Renderings } from "./renderings.ts";
import { tool } from "./toolbox.ts";
import { finding, type Tree } from "./tree.ts";

/** Every kustomization renders, and every object agrees with its schema. */
export async function manifestChecks(tree: Tree): Promise<Check[]> {
  const { kustomizationRoots } = await import("../../lib/lint/index.ts");
  const roots = await kustomizationRoots(tree.root, tree.files);
  const renderings = new Renderings(tree.root);
  return [
    ...roots.map((kustomization): Check => {
      const { name, charts } = kustomization;
      return {
        name: `kustomize/${name}`,
        title: "Kustomization renders",
        needs: [
          "kustomize",
          ...(charts.length > 0 ? ["helm"] : []),
          ...charts.map((chart) => `chart-${chart.name}`),
        ],
        async run(control) {
          return (await renderings.render(kustomization, control)).findings;
        },
      };
    }),
    {
      name: "manifests",
      title: "Manifests agree with schemas",
      needs: ["kubeconform", "kubernetes-api", "kustomize"],
      run: async (control) => await schemaFindings(tree, roots, renderings, control),
    },
  ];
}

async function schemaFindings(
  { root, files }: Tree,
  roots: readonly KustomizationRoot[],
  renderings: Renderings,
  control: CheckControl,
): Promise<Finding[]> {
  const {
    checkManifests,
    declaredObjects,
    documentsIn,
    isChartFile,
    isRendered,
    notObjects,
    partFiles,
    yamlFiles,
  } = await import("../../lib/lint/index.ts");
  const { pins, ToolCache } = await import("../../lib/toolchain/index.ts");
  const { sets, findings } = await renderAll(roots, renderings, control);
  const parts = await partFiles(root, files);
  const sources = await Promise.all(
    yamlFiles(files)
      .filter((file) => file.startsWith("k8s/") && !/(?:^|\/)kustomization\.ya?ml$/.test(file))
      .filter((file) => !parts.includes(file) && !isChartFile(file, files))
      .map(async (file) => ({ file, text: await readFile(join(root, file), "utf8") })),
  );
  const declared = declaredObjects(sources);
  const rendered = isRendered(
    declared,
    sets.flatMap(({ text }) => documentsIn(text)),
  );
  // What no kustomization renders is checked as it stands.
  const alone = new Set(declared.filter((object) => !rendered.has(object)).map(({ file }) => file));
  const more = sources.filter(({ file }) => alone.has(file)).map(({ file, text }) => ({ name: file, text }));
  const { path: program } = await tool("kubeconform", control);
  const problems = await checkManifests([...sets, ...more], {
    program,
    cwd: root,
    signal: control.signal,
    definitions: await argoDefinitions(control),
    description: (await tool("kubernetes-api", control)).path,
    version: pins.kubernetes,
    cacheDir: join(new ToolCache().dir, "schemas"),
  });
  return [
    ...findings,
    ...finding("failed", notObjects(sources), [
      "Give each object apiVersion, kind and metadata.name; or remove what is none from k8s/",
    ]),
    ...findingsOf(problems, declared),
  ];
}

/** What all kustomizations render, and a finding for what was not checked because it does not render. */
async function renderAll(
  roots: readonly KustomizationRoot[],
  renderings: Renderings,
  control: CheckControl,
): Promise<{ readonly sets: ManifestSet[]; readonly findings: Finding[] }> {
  const sets: ManifestSet[] = [];
  const broken: KustomizationRoot[] = [];
  const unavailable = new Map<string, { readonly lacking: Finding; readonly paths: string[] }>();
  await Promise.all(
    roots.map(async (kustomization) => {
      const { path } = kustomization;
      try {
        sets.push({ name: path, text: (await renderings.render(kustomization, control)).text });
      } catch (error) {
        control.signal.throwIfAborted();
        if (!(error instanceof Unavailable)) return void broken.push(kustomization);
        const { finding: lacking } = error;
        const { paths } = unavailable.get(lacking.evidence) ?? { paths: [] };
        unavailable.set(lacking.evidence, { lacking, paths: [...paths, path].sort() });
      }
    }),
  );
  return {
    sets: sets.sort((a, b) => a.name.localeCompare(b.name)),
    findings: [
      ...[...unavailable.values()].map(({ lacking, paths }) => ({
        ...lacking,
        evidence: `Not checked as it is rendered: ${paths.join(", ")}\n${lacking.evidence}`,
      })),
      ...broken
        .sort((a, b) => a.path.localeCompare(b.path))
        .map(({ name, path }): Finding => {
          const fix = ["See why, and mend it:", `$ npm run preflight -- --only kustomize/${name}`];
          return { state: "failed", evidence: `${path} was not checked: it does not render`, fix };
        }),
    ],
  };
}

/** What Argo CD defines, whether or not its installation renders. */
async function argoDefinitions(control: CheckControl): Promise<string[]> {
  try {
    return [await readFile((await tool("argocd-manifests", control)).path, "utf8")];
  } catch (error) {
    // Where it is not to be had, kustomize/bootstrap says so.
    if (error instanceof Unavailable) return [];
    throw error;
  }
}

function findingsOf(problems: readonly SchemaProblem[], declared: readonly DeclaredObject[]): Finding[] {
  const wrong = problems.filter(({ unknown }) => !unknown).map((problem) => told(problem, declared));
  const unknown = problems.filter((problem) => problem.unknown);
  return [
    ...[...new Set(wrong)].map(
      (evidence): Finding => ({
        state: "failed",
        evidence,
        fix: ["Mend the manifest; kubectl explain KIND.FIELD describes each field"],
      }),
    ),
    ...unknown.map(
      ({ kind, object, set }): Finding => ({
        state: "warning",
        evidence: `${kind} ${object} (${set}) was not checked: nothing defines the kind ${kind}`,
        fix: ["Check its apiVersion and kind, or add its CustomResourceDefinition to the manifests"],
      }),
    ),
  ];
}

/** A problem at the place in the source where it is to be mended. */
function told(problem: SchemaProblem, declared: readonly DeclaredObject[]): string {
  const { set, kind, object, path = "", message } = problem;
  const [, extra] = /additional propert(?:y|ies) '([^']+)'/i.exec(message) ?? [];
  const fields = [...path.split("/").filter((part) => part !== ""), ...(extra === undefined ? [] : [extra])];
  const source = declared.find((each) => each.kind === kind && each.name === object);
  const where = source === undefined ? set : `${source.file}:${source.lineOf(fields)}`;
  return `${where}  ${kind} ${object}${fields.length > 0 ? `, ${fields.join(".")}` : ""}: ${message}`;
}
