import { existsSync } from "node:fs";
import { join } from "node:path";
import { TaskError } from "../lib/errors.ts";
import { type ClusterSession, kustomizeBuild, renderBootstrap } from "../lib/k8s/index.ts";
import { CommandError } from "../lib/process.ts";
import { shellFrom } from "../lib/proxmox/index.ts";
import { defineCommand, main, type Step } from "../lib/task/index.ts";
import { repositoryRequest, treeOf } from "./argo/repository.ts";
import { ARGO } from "./argo.ts";
import { BOOTSTRAP, type BootstrapDeps, bootstrapDeps } from "./k8s-bootstrap.ts";
import { CLUSTER_USES, clusterSession } from "./kubeconfig.ts";

/** Kustomizations and what is compared with each. */
const PARTS = [
  { title: "Compare Argo CD itself", path: BOOTSTRAP },
  { title: "Compare the project and the root application", path: ARGO },
  { title: "Compare the Applications", path: join("k8s", "clusters", "home") },
] as const;

/** Compare the working tree with the cluster, and change nothing. */
export function diffSteps(tree: string, deps: BootstrapDeps, found: (difference: string) => void): Step[] {
  return PARTS.map(({ title, path }) => ({
    title,
    async run(control) {
      const { signal } = control;
      const kustomize = await deps.kustomize(control);
      const directory = join(tree, path);
      const manifests =
        path === BOOTSTRAP
          ? await renderBootstrap(kustomize, directory, await deps.upstream(control), signal)
          : await kustomizeBuild(kustomize, directory, signal);
      found(await difference(deps.cluster, manifests, signal));
    },
  }));
}

async function difference(cluster: ClusterSession, manifests: string, signal: AbortSignal): Promise<string> {
  const kubectl = await cluster.kubectl(signal);
  try {
    return await kubectl.diff(manifests, { signal });
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const missing = /no matches for kind|namespaces "[^"]+" not found/.test(error.stderr);
    throw new TaskError({
      what: "The cluster cannot be compared",
      why: error.message,
      todo: missing ? ["Argo CD is not installed yet:", "$ npm run k8s-bootstrap"] : [],
      cause: error,
    });
  }
}

const command = defineCommand({
  name: "k8s-diff",
  summary: "Show what applying this working tree would change in the cluster",
  uses: [...CLUSTER_USES, "GIT_REPO_URL", "GIT_REVISION"],
  readOnly: true,
  async run(context) {
    const { settings, root, sandbox } = context;
    const shell = shellFrom(settings);
    const cluster = clusterSession(settings, shell, settings.ENV);
    // On the sandbox the manifests live in its own repository, which names itself.
    const local = treeOf(repositoryRequest(settings, root, sandbox?.dir));
    const tree = existsSync(local) ? local : root;
    const differences: string[] = [];
    try {
      await context.steps(diffSteps(tree, bootstrapDeps(cluster), (text) => differences.push(text)));
    } finally {
      await cluster.close();
      await shell.close();
    }
    const difference = differences.join("");
    if (sandbox !== undefined && difference !== "") {
      context.note(
        "Nothing syncs in the sandbox: the Applications below the root are not there, and show as new",
      );
    }
    context.result(difference === "" ? "No differences" : difference.trimEnd(), {
      differs: difference !== "",
      diff: difference,
    });
  },
});

await main(import.meta.url, command);
