import { existsSync } from "node:fs";
import { cp, readdir, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import * as v from "valibot";
import { parseDocument } from "yaml";
import { CommandError, childEnv, run } from "../process.ts";
import { temporaryFolder } from "../temporary.ts";

const FETCH_MS = 10_000;

const schema = v.object({
  helmCharts: v.optional(
    v.array(v.object({ name: v.string(), repo: v.optional(v.string()), version: v.optional(v.string()) })),
    [],
  ),
});

/** A chart that a kustomization takes from elsewhere. */
export interface RemoteChart {
  readonly name: string;
  readonly version: string;
  readonly repo: string;
  /** The kustomization's folder. */
  readonly folder: string;
}

/**
 * Where a chart cannot be fetched from, put a stand-in beside the kustomization that names it, where kustomize looks
 * first.
 * @param tree a working tree that is ours alone
 * @param standIns a folder with a stand-in of the chart's name for some charts
 * @param helm path of the program that would fetch it
 * @returns the charts that a stand-in was put in for
 */
export async function putStandIns(
  tree: string,
  standIns: string,
  helm: string,
  signal?: AbortSignal,
): Promise<readonly RemoteChart[]> {
  const there = await readdir(standIns);
  const charts = (await remoteCharts(join(tree, "k8s"))).filter(
    // A working tree may hold charts that were fetched before.
    (chart) => there.includes(chart.name) && !existsSync(placeOf(chart)),
  );
  const fetched = await Promise.all(charts.map(async (chart) => await canFetch(helm, chart, signal)));
  const missing = charts.filter((_chart, at) => fetched[at] === false);
  for (const chart of missing) await cp(join(standIns, chart.name), placeOf(chart), { recursive: true });
  return missing;
}

/** Where kustomize keeps a chart. */
function placeOf({ name, version, folder }: RemoteChart): string {
  return join(folder, "charts", `${name}-${version}`, name);
}

async function remoteCharts(folder: string): Promise<RemoteChart[]> {
  const files = (await readdir(folder, { recursive: true })).filter((path) =>
    /(^|\/)kustomization\.ya?ml$/.test(path),
  );
  const found = await Promise.all(
    files.map(async (path): Promise<RemoteChart[]> => {
      const document = parseDocument(await readFile(join(folder, path), "utf8"));
      // What is no YAML, or none of kustomize's, is told by kustomize.
      const parsed = v.safeParse(schema, document.errors.length > 0 ? {} : document.toJS());
      return (parsed.success ? parsed.output.helmCharts : []).flatMap(({ name, repo, version }) =>
        repo === undefined || version === undefined
          ? []
          : [{ name, repo, version, folder: join(folder, dirname(path)) }],
      );
    }),
  );
  return found.flat();
}

/** Whether helm gets the chart, with the network and the proxies that there are, and nothing of its cache. */
async function canFetch(
  helm: string,
  { name, repo, version }: RemoteChart,
  signal?: AbortSignal,
): Promise<boolean> {
  const home = temporaryFolder("homelab-helm");
  try {
    await run(helm, ["show", "chart", name, `--repo=${repo}`, `--version=${version}`], {
      env: childEnv({ HELM_CACHE_HOME: home, HELM_CONFIG_HOME: home, HELM_DATA_HOME: home }),
      timeoutMs: FETCH_MS,
      ...(signal === undefined ? {} : { signal }),
    });
    return true;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return false;
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}
