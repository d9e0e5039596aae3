import { cp, readdir, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import * as v from "valibot";
import { parseDocument } from "yaml";
import { TaskError } from "../errors.ts";
import { temporaryFolder } from "../temporary.ts";
import { applicationsIn, type RenderedApplication } from "./applications.ts";
import { type Kustomize, kustomizeBuild } from "./kustomize.ts";

const chartsSchema = v.object({
  helmCharts: v.optional(v.array(v.object({ valuesFile: v.optional(v.string()) })), []),
});

/**
 * Render everything that Argo CD will render: the root's Applications, and what each of them points at in the same
 * repository. It would find a mistake as well, but minutes later and in another place. Charts are left out: they come
 * from elsewhere, and Argo CD gets them by itself; their values have to be YAML.
 * @param tree a working tree of the repository
 * @param root the path that the root application points at
 * @returns the Applications below the root
 * @throws {TaskError} naming the file that is wrong, in kustomize's own words
 */
export async function renderApplications(
  kustomize: Kustomize,
  tree: string,
  root: string,
  signal?: AbortSignal,
): Promise<RenderedApplication[]> {
  const copy = await realpath(temporaryFolder("homelab-render"));
  try {
    // Kustomizations may point at each other, so all of them are there.
    await cp(join(tree, "k8s"), join(copy, "k8s"), {
      recursive: true,
      filter: (path) => !path.split(sep).includes("charts"),
    });
    for (const file of await kustomizationsIn(join(copy, "k8s")))
      await leaveChartsOut(file, join(tree, relative(copy, file)));
    const build = async (path: string): Promise<string> =>
      await kustomizeBuild({ program: kustomize.program }, join(copy, path), signal, [copy, tree]);
    const found = applicationsIn(await build(root));
    const [first] = found;
    for (const { path, repoURL } of found) {
      // Another repository is not here to be read.
      if (path !== "" && repoURL === first?.repoURL) await build(path);
    }
    return found;
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
}

async function kustomizationsIn(folder: string): Promise<string[]> {
  const all = await readdir(folder, { recursive: true });
  return all.filter((path) => /(^|\/)kustomization\.ya?ml$/.test(path)).map((path) => join(folder, path));
}

/** @param shown the file as people know it */
async function leaveChartsOut(file: string, shown: string): Promise<void> {
  const document = parseDocument(await readFile(file, "utf8"));
  // What is no YAML is told by kustomize, in its own words.
  const parsed = v.safeParse(chartsSchema, document.errors.length > 0 ? {} : document.toJS());
  if (!parsed.success || parsed.output.helmCharts.length === 0) return;
  for (const { valuesFile } of parsed.output.helmCharts) {
    if (valuesFile !== undefined)
      await demandYaml(join(file, "..", valuesFile), join(shown, "..", valuesFile));
  }
  document.delete("helmCharts");
  await writeFile(file, document.toString());
}

async function demandYaml(file: string, shown: string): Promise<void> {
  const [error] = parseDocument(await readFile(file, "utf8")).errors;
  if (error === undefined) return;
  throw new TaskError({
    what: `${shown} is not YAML`,
    why: error.message,
    todo: ["Mend the file; it holds the values of a chart"],
    left: ["Nothing was changed"],
  });
}
