import { join } from "node:path";
import { TaskError } from "../lib/errors.ts";
import {
  type Application,
  ARGO_NAMESPACE,
  type ClusterSession,
  demandNamespaces,
  demandPermissions,
  findArgo,
  kustomizeBuild,
  notApplied,
  notShared,
  renderApplications,
} from "../lib/k8s/index.ts";
import { CommandError } from "../lib/process.ts";
import { shellFrom } from "../lib/proxmox/index.ts";
import { defineCommand, main, type Step } from "../lib/task/index.ts";
import {
  type RepositoryDeps,
  type RepositoryRequest,
  repositoryRequest,
  repositorySteps,
  treeOf,
} from "./argo/repository.ts";
import { syncStep } from "./argo/sync.ts";
import { bootstrapDeps } from "./k8s-bootstrap.ts";
import { CLUSTER_USES, clusterSession } from "./kubeconfig.ts";

export interface ArgoRequest extends RepositoryRequest {
  /** Told what has become of the Applications. */
  readonly done?: (applications: readonly Application[]) => void;
}

export interface ArgoDeps extends RepositoryDeps {
  readonly cluster: ClusterSession;
}

/** Where the project and the root application lie in the repository. */
export const ARGO = join("k8s", "argo");
/** What the root application points at. */
const CLUSTER = join("k8s", "clusters", "home");
const ROOT_APPLICATION = "app-of-apps";

/** Apply the project and the app of apps, which takes over from there. */
export function argoSteps(request: ArgoRequest, { cluster, kustomize }: ArgoDeps): Step[] {
  const tree = treeOf(request);
  let manifests = "";
  let difference = "";
  return [
    {
      title: "Check that Argo CD is there",
      async run({ signal }) {
        if ((await findArgo(await cluster.kubectl(signal), { signal }))?.namespace === ARGO_NAMESPACE) return;
        throw new TaskError({
          what: `There is no Argo CD in the namespace ${ARGO_NAMESPACE}`,
          todo: ["Install it first:", "$ npm run k8s-bootstrap"],
        });
      },
    },
    {
      title: "Render the project and the root application",
      preview: () => [`kustomize build ${ARGO}`],
      async run(control) {
        const { signal } = control;
        manifests = await kustomizeBuild(await kustomize(control), join(tree, ARGO), signal);
      },
    },
    {
      title: "Render the Applications, and check that their namespaces are free",
      preview: () => [`kustomize build ${CLUSTER}   # and the folder of each Application`],
      async run(control) {
        const { signal, confirm } = control;
        const found = await renderApplications(await kustomize(control), tree, CLUSTER, signal);
        const claims = found
          .filter(({ namespace }) => namespace !== ARGO_NAMESPACE)
          .map(({ name, namespace }) => ({
            namespace,
            tenant: `the Application ${name}`,
            application: name,
          }));
        const kubectl = await cluster.kubectl(signal);
        for (const company of await demandNamespaces(kubectl, claims, { signal })) {
          const { claim, workloads } = company;
          const question = `${workloads.join(", ")} runs in the namespace ${claim.namespace} already, and is none of Argo CD's. Let ${claim.tenant} use it, too?`;
          if (!(await confirm(question))) throw notShared(kubectl, company);
        }
      },
    },
    {
      title: "Check that the kubeconfig's user may apply them, and what would change",
      preview: () => [`kubectl auth can-i create applications.argoproj.io -n ${ARGO_NAMESPACE}`],
      async run({ signal }) {
        const kubectl = await cluster.kubectl(signal);
        await demandPermissions(kubectl, manifests, "apply the root application", { signal });
        try {
          difference = await kubectl.diff(manifests, { signal });
        } catch (error) {
          throw error instanceof CommandError
            ? notApplied(kubectl, ARGO, error, "Nothing was changed")
            : error;
        }
      },
    },
    {
      title: "Apply the project and the root application",
      leaves: "What was applied stays; npm run argo goes on from there",
      skip: () => difference === "" && "they are there as configured",
      preview: () => [`kustomize build ${ARGO} | kubectl apply --server-side --force-conflicts -f -`],
      async run({ signal, output }) {
        const kubectl = await cluster.kubectl(signal);
        try {
          // The project `default` is Argo CD's own until ours takes it over.
          await kubectl.apply(manifests, { signal, force: true, onLine: output });
        } catch (error) {
          const left = "What was applied before the failure stays; npm run argo goes on from there";
          if (error instanceof TaskError) throw error.withLeft([left]);
          if (!(error instanceof CommandError)) throw error;
          throw notApplied(kubectl, ARGO, error, left);
        }
      },
    },
    syncStep({ ...request, tree }, cluster),
  ];
}

const command = defineCommand({
  name: "argo",
  summary: "Hand the cluster over to Argo CD: the project and the app of apps, from your repository",
  uses: [...CLUSTER_USES, "GIT_REPO_URL", "GIT_REVISION"],
  async run(context) {
    const { settings, root, sandbox } = context;
    const shell = shellFrom(settings);
    const cluster = clusterSession(settings, shell, settings.ENV);
    try {
      let synced: readonly Application[] = [];
      const request: ArgoRequest = {
        ...repositoryRequest(settings, root, sandbox?.dir),
        done: (applications) => {
          synced = applications;
        },
      };
      const deps = bootstrapDeps(cluster);
      await context.steps([...repositorySteps(request, deps), ...argoSteps(request, deps)]);
      context.result(
        `The root application ${ROOT_APPLICATION} is applied; npm run status shows what becomes of it`,
        { application: ROOT_APPLICATION, applications: synced },
      );
    } finally {
      await cluster.close();
      await shell.close();
    }
  },
});

await main(import.meta.url, command);
