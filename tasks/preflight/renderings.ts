import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, rename, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CheckControl, Unavailable } from "../../lib/check/index.ts";
import { TaskError } from "../../lib/errors.ts";
import type { Chart, KustomizationRoot } from "../../lib/lint/index.ts";
import { tool } from "./toolbox.ts";

/** A chart that takes longer to come than this is not to be had. */
const CHART_TIMEOUT_MS = 60_000;

/** What kustomizations render, each rendered once for all checks that want to know. */
export class Renderings {
  readonly #root: string;
  readonly #texts = new Map<string, Promise<string>>();

  /** @param root the repository's folder */
  constructor(root: string) {
    this.#root = root;
  }

  /**
   * @throws {TaskError} in kustomize's own words
   * @throws {Unavailable} when a tool or a chart is not to be had
   */
  async render(kustomization: KustomizationRoot, control: CheckControl): Promise<string> {
    const { path } = kustomization;
    const text = this.#texts.get(path) ?? this.#fresh(kustomization, control);
    this.#texts.set(path, text);
    return await text;
  }

  async #fresh({ path, charts }: KustomizationRoot, control: CheckControl): Promise<string> {
    const { kustomizeBuild, renderBootstrap } = await import("../../lib/k8s/index.ts");
    const { path: program } = await tool("kustomize", control);
    const directory = join(this.#root, path);
    if (charts.length > 0) return await this.#withCharts(path, charts, program, control);
    if (!path.endsWith("/bootstrap")) return await kustomizeBuild({ program }, directory, control.signal);
    const upstream = (await tool("argocd-manifests", control)).path;
    return await renderBootstrap({ program }, directory, upstream, control.signal);
  }

  /** In a copy: kustomize puts the charts it fetches beside the kustomization. They are kept for the next time. */
  async #withCharts(
    path: string,
    charts: readonly Chart[],
    program: string,
    control: CheckControl,
  ): Promise<string> {
    const { kustomizeBuild } = await import("../../lib/k8s/index.ts");
    const { ToolCache } = await import("../../lib/toolchain/index.ts");
    const helm = (await tool("helm", control)).path;
    const copy = await mkdtemp(join(tmpdir(), "homelab-preflight-"));
    const kept = join(new ToolCache().dir, "charts");
    const home = join(copy, path, "charts");
    const folderOf = ({ name, version }: Chart): string => `${name}-${version}`;
    try {
      await cp(join(this.#root, "k8s"), join(copy, "k8s"), { recursive: true });
      await mkdir(home, { recursive: true });
      const absent = charts.filter((chart) => !existsSync(join(home, folderOf(chart), chart.name)));
      for (const chart of absent) {
        if (existsSync(join(kept, folderOf(chart)))) {
          await symlink(join(kept, folderOf(chart)), join(home, folderOf(chart)));
        }
      }
      const fetched = absent.filter((chart) => !existsSync(join(home, folderOf(chart))));
      const signal = AbortSignal.any([control.signal, AbortSignal.timeout(CHART_TIMEOUT_MS)]);
      try {
        const text = await kustomizeBuild({ program, helm }, join(copy, path), signal);
        await mkdir(kept, { recursive: true });
        for (const chart of fetched) {
          // Somebody else may have fetched it at the same time.
          await rename(join(home, folderOf(chart)), join(kept, folderOf(chart))).catch(() => {});
        }
        return text;
      } catch (error) {
        control.signal.throwIfAborted();
        const [missing] = fetched.filter((chart) => !existsSync(join(home, folderOf(chart), chart.name)));
        if (missing !== undefined) throw notFetched(missing, error);
        throw error instanceof TaskError ? inTree(error, copy) : error;
      }
    } finally {
      await rm(copy, { recursive: true, force: true });
    }
  }
}

function notFetched({ name, version, repo }: Chart, error: unknown): Unavailable {
  const why = error instanceof TaskError ? (error.why ?? "") : "it did not come within a minute";
  // What follows is kustomize's account of how it called Helm.
  const [words = ""] = why.replace(/^(?:Error: )+/, "").split("\n: unable to run");
  return new Unavailable(`chart-${name}`, `The chart ${name} ${version} was not fetched\n${words.trim()}`, [
    "Let this machine reach the chart's repository:",
    `$ helm pull ${name} --version ${version} --repo ${repo}`,
  ]);
}

/** The same failure with the tree's own paths in place of the copy's. */
function inTree(error: TaskError, copy: string): TaskError {
  const here = (text: string): string => text.replaceAll(`${copy}/`, "");
  return new TaskError({
    what: here(error.what),
    ...(error.why === undefined ? {} : { why: here(error.why) }),
    todo: error.todo.map(here),
    cause: error,
  });
}
