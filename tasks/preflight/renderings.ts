import { existsSync } from "node:fs";
import { cp, mkdir, rename, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import type { CheckControl, Finding } from "../../lib/check/index.ts";
import { TaskError } from "../../lib/errors.ts";
import type { Chart, KustomizationRoot } from "../../lib/lint/index.ts";
import { temporaryFolder } from "../../lib/temporary.ts";
import { remembered } from "./remembered.ts";
import { tool } from "./toolbox.ts";

/** A chart that takes longer to come than this is not to be had. */
const CHART_TIMEOUT_MS = 60_000;

/** What a kustomization renders, and what is to be known about it. */
export interface Rendering {
  /** YAML documents. */
  readonly text: string;
  /** Of charts that were not to be had, and were rendered with a stand-in. */
  readonly findings: readonly Finding[];
}

/** What kustomizations render, each rendered once for all checks that want to know. */
export class Renderings {
  readonly #root: string;
  readonly #all = new Map<string, Promise<Rendering>>();

  /** @param root the repository's folder */
  constructor(root: string) {
    this.#root = root;
  }

  /**
   * @throws {TaskError} in kustomize's own words
   * @throws {Unavailable} when a tool is not to be had
   */
  async render(kustomization: KustomizationRoot, control: CheckControl): Promise<Rendering> {
    const { path } = kustomization;
    const rendering = this.#all.get(path) ?? this.#fresh(kustomization, control);
    this.#all.set(path, rendering);
    return await rendering;
  }

  async #fresh({ path, charts }: KustomizationRoot, control: CheckControl): Promise<Rendering> {
    const { kustomizeBuild, renderBootstrap } = await import("../../lib/k8s/index.ts");
    const kustomize = await tool("kustomize", control);
    const { path: program } = kustomize;
    if (charts.length > 0) return await this.#withCharts(path, charts, program, control);
    const directory = join(this.#root, path);
    const { signal } = control;
    if (!path.endsWith("/bootstrap")) {
      return { text: await kustomizeBuild({ program }, directory, signal), findings: [] };
    }
    const upstream = await tool("argocd-manifests", control);
    // Two megabytes that seldom change take as long as all other kustomizations together.
    const text = await remembered(directory, [kustomize.version, upstream.version], () =>
      renderBootstrap({ program }, directory, upstream.path, signal),
    );
    return { text, findings: [] };
  }

  /** In a copy: kustomize puts the charts it fetches beside the kustomization. They are kept for the next time. */
  async #withCharts(
    path: string,
    charts: readonly Chart[],
    program: string,
    control: CheckControl,
  ): Promise<Rendering> {
    const { kustomizeBuild } = await import("../../lib/k8s/index.ts");
    const { ToolCache } = await import("../../lib/toolchain/index.ts");
    const kustomize = { program, helm: (await tool("helm", control)).path };
    const copy = temporaryFolder("homelab-preflight");
    try {
      await cp(join(this.#root, "k8s"), join(copy, "k8s"), { recursive: true });
      const shelf = new ChartShelf(join(copy, path, "charts"), join(new ToolCache().dir, "charts"));
      const fetched = await shelf.fill(charts);
      const build = async (signal: AbortSignal): Promise<string> =>
        await kustomizeBuild(kustomize, join(copy, path), signal);
      try {
        const timeout = AbortSignal.timeout(CHART_TIMEOUT_MS);
        const text = await build(
          fetched.length > 0 ? AbortSignal.any([control.signal, timeout]) : control.signal,
        );
        await shelf.keep(fetched);
        return { text, findings: [] };
      } catch (error) {
        control.signal.throwIfAborted();
        const missing = fetched.filter((chart) => !shelf.has(chart));
        if (missing.length === 0) throw error;
        const findings = missing.map((chart) => notFetched(chart, error));
        await shelf.standIn(missing);
        return { text: await build(control.signal), findings };
      }
    } catch (error) {
      throw error instanceof TaskError ? inTree(error, copy) : error;
    } finally {
      await rm(copy, { recursive: true, force: true });
    }
  }
}

/** Where kustomize looks for charts, in a private copy of the tree. */
class ChartShelf {
  readonly #here: string;
  readonly #kept: string;

  /**
   * @param here the folder beside the kustomization
   * @param kept where charts are kept between runs
   */
  constructor(here: string, kept: string) {
    this.#here = here;
    this.#kept = kept;
  }

  has(chart: Chart): boolean {
    return existsSync(join(this.#here, folderOf(chart), chart.name));
  }

  /** Put in what was fetched earlier. @returns what kustomize will have to fetch */
  async fill(charts: readonly Chart[]): Promise<Chart[]> {
    await mkdir(this.#here, { recursive: true });
    for (const chart of charts.filter((each) => !this.has(each))) {
      const kept = join(this.#kept, folderOf(chart));
      if (existsSync(kept)) await symlink(kept, join(this.#here, folderOf(chart)));
    }
    return charts.filter((chart) => !this.has(chart));
  }

  /** Keep what was fetched. */
  async keep(charts: readonly Chart[]): Promise<void> {
    await mkdir(this.#kept, { recursive: true });
    for (const chart of charts) {
      // Another run may have kept it in the meantime, and a cache may lie on another file system: nothing is lost.
      await rename(join(this.#here, folderOf(chart)), join(this.#kept, folderOf(chart))).catch(() => {});
    }
  }

  /** The sandbox's stand-ins for charts that are not to be had: same values, same kinds of objects. */
  async standIn(charts: readonly Chart[]): Promise<void> {
    const { STAND_IN_CHARTS } = await import("../../lib/sandbox/index.ts");
    for (const chart of charts) {
      const standIn = join(STAND_IN_CHARTS, chart.name);
      const target = join(this.#here, folderOf(chart), chart.name);
      if (existsSync(standIn)) await cp(standIn, target, { recursive: true });
    }
  }
}

function folderOf({ name, version }: Chart): string {
  return `${name}-${version}`;
}

function notFetched({ name, version, repo }: Chart, error: unknown): Finding {
  const why = error instanceof TaskError ? (error.why ?? "") : "it did not come within a minute";
  // What follows is kustomize's account of how it called Helm.
  const [words = ""] = why.replace(/^(?:Error: )+/, "").split("\n: unable to run");
  return {
    state: "unavailable",
    missing: `chart-${name}`,
    evidence: [
      `The chart ${name} ${version} was not fetched: ${words.trim()}`,
      "What is made of it was checked with the sandbox's stand-in",
    ].join("\n"),
    fix: [
      "Let this machine reach the chart's repository:",
      `$ helm pull ${name} --version ${version} --repo ${repo}`,
    ],
  };
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
