import { join } from "node:path";
import { demandFilled } from "../lib/demand-filled.ts";
import { TaskError } from "../lib/errors.ts";
import {
  APPLY,
  ARGO_NAMESPACE,
  type ArgoInstallation,
  argoLogin,
  type ClusterSession,
  demandNamespaces,
  demandPermissions,
  findArgo,
  installArgo,
  isInstalled,
  type Kustomize,
  notShared,
  renderBootstrap,
  waitForArgo,
} from "../lib/k8s/index.ts";
import { pins } from "../lib/pins.ts";
import { shellFrom } from "../lib/proxmox/index.ts";
import { defineCommand, main, type Step, type StepControl } from "../lib/task/index.ts";
import { CLUSTER_USES, clusterSession } from "./kubeconfig.ts";

export interface BootstrapRequest {
  /** The repository's folder. */
  readonly root: string;
  /** Receives the Argo CD that runs in the end. */
  readonly done?: (installation: ArgoInstallation) => void;
}

export interface BootstrapDeps {
  readonly cluster: ClusterSession;
  kustomize(control: StepControl): Promise<Kustomize>;
  /** Path of the verified upstream manifests. */
  upstream(control: StepControl): Promise<string>;
}

/** Where Argo CD's installation lies in the repository. */
export const BOOTSTRAP = join("k8s", "clusters", "home", "bootstrap");

/** Install Argo CD, or respect the one that is there. */
export function bootstrapSteps({ root, done }: BootstrapRequest, deps: BootstrapDeps): Step[] {
  const { cluster } = deps;
  const byHand = `kustomize build ${BOOTSTRAP} | ${cluster.shown(...APPLY, "-f", "-")}`;
  let existing: ArgoInstallation | undefined;
  let manifests = "";
  let installed = false;

  const theirs = (): string | false =>
    existing !== undefined &&
    !existing.ours &&
    `Argo CD ${existing.version ?? ""} is there and is left as it is`;

  return [
    {
      title: "Look for an Argo CD in the cluster",
      preview: () => ["kubectl get deployments --all-namespaces -l app.kubernetes.io/name=argocd-server"],
      async run({ signal, note }) {
        existing = await findArgo(await cluster.kubectl(signal), { signal });
        if (existing === undefined || existing.ours) return;
        const { namespace, version = "of unknown version" } = existing;
        if (namespace !== ARGO_NAMESPACE) {
          throw new TaskError({
            what: "Another Argo CD runs in this cluster already",
            why: `It is in the namespace ${namespace}, and two would fight over the same Applications`,
            todo: [
              `Use that one: move the Applications in k8s/ to the namespace ${namespace}`,
              "Or remove it first, if nobody needs it",
            ],
            left: ["Nothing was changed"],
          });
        }
        note(
          `Argo CD ${version} was installed by somebody else; it is used as it is (pinned here: ${pins.argocd.version})`,
        );
      },
    },
    {
      title: `Check that the namespace ${ARGO_NAMESPACE} is free for it`,
      skip: () => existing !== undefined && "Argo CD is there",
      preview: () => [`kubectl get namespaces,deployments,statefulsets,daemonsets -n ${ARGO_NAMESPACE}`],
      async run({ signal, confirm }) {
        const kubectl = await cluster.kubectl(signal);
        const claim = { namespace: ARGO_NAMESPACE, tenant: "Argo CD" };
        for (const company of await demandNamespaces(kubectl, [claim], { signal })) {
          const question = `${company.workloads.join(", ")} runs in the namespace ${ARGO_NAMESPACE} already. Install Argo CD beside it?`;
          if (!(await confirm(question))) throw notShared(kubectl, company);
        }
      },
    },
    {
      title: `Render Argo CD ${pins.argocd.version}`,
      skip: theirs,
      preview: () => [`kustomize build ${BOOTSTRAP}`],
      async run(control) {
        await demandFilled(root, { paths: [`${BOOTSTRAP}/`], otherwise: "Argo CD is not installed" });
        const kustomize = await deps.kustomize(control);
        const upstream = await deps.upstream(control);
        const { signal } = control;
        manifests = await renderBootstrap(kustomize, join(root, BOOTSTRAP), upstream, signal);
      },
    },
    {
      title: "Check that the kubeconfig's user may install it, and whether it is there",
      skip: theirs,
      preview: () => [
        `kubectl auth can-i create deployments.apps -n ${ARGO_NAMESPACE}   # and so on for each kind`,
      ],
      async run({ signal }) {
        const kubectl = await cluster.kubectl(signal);
        await demandPermissions(kubectl, manifests, "install Argo CD", { signal });
        installed = await isInstalled(kubectl, manifests, { signal });
      },
    },
    {
      title: `Apply Argo CD ${pins.argocd.version}`,
      leaves: "What was applied of Argo CD stays; npm run k8s-bootstrap goes on from there",
      skip: () => theirs() || (installed && "it is there as configured"),
      preview: () => [byHand],
      async run({ signal, output }) {
        await installArgo(await cluster.kubectl(signal), manifests, byHand, { signal, onLine: output });
      },
    },
    {
      title: "Wait until Argo CD is ready",
      leaves: "Argo CD is applied and goes on starting; npm run k8s-bootstrap waits for it again",
      preview: () => ["kubectl -n argocd wait --for=condition=Available deployment --all"],
      async run({ signal, output }) {
        await waitForArgo(await cluster.kubectl(signal), { signal, onLine: output });
        done?.(existing ?? { namespace: ARGO_NAMESPACE, version: pins.argocd.version, ours: true });
      },
    },
  ];
}

/** Kustomize, helm and the upstream manifests from the toolchain. */
export function bootstrapDeps(cluster: ClusterSession): BootstrapDeps {
  const tool = async (
    name: "kustomize" | "helm" | "argocd-manifests",
    { signal, output }: Pick<StepControl, "signal" | "output">,
  ): Promise<string> => {
    const { ensureTool } = await import("../lib/toolchain/index.ts");
    return (await ensureTool(name, { signal, onProgress: output })).path;
  };
  return {
    cluster,
    kustomize: async (control) => ({
      program: await tool("kustomize", control),
      helm: await tool("helm", control),
    }),
    upstream: async (control) => await tool("argocd-manifests", control),
  };
}

const command = defineCommand({
  name: "k8s-bootstrap",
  summary: "Install Argo CD from its pinned, verified manifests, or respect the one that is there",
  uses: CLUSTER_USES,
  async run(context) {
    const { settings, root } = context;
    const shell = shellFrom(settings);
    const cluster = clusterSession(settings, shell, settings.ENV);
    let installation: ArgoInstallation | undefined;
    try {
      await context.steps(
        bootstrapSteps(
          {
            root,
            done: (found) => {
              installation = found;
            },
          },
          bootstrapDeps(cluster),
        ),
      );
      const { version = "?" } = installation ?? {};
      const [forward, password] = argoLogin({ context: settings.ENV, kubeconfig: settings.KUBECONFIG });
      const login = [
        `  Web interface  $ ${forward}   then https://localhost:8443, user admin`,
        `  Password       $ ${password}`,
      ];
      context.result(
        [
          `Argo CD ${version} is ready in the namespace ${ARGO_NAMESPACE}`,
          ...(context.sandbox === undefined
            ? login
            : ["  Its containers are simulated here: it has no web interface"]),
        ].join("\n"),
        { argocd: installation },
      );
    } finally {
      await cluster.close();
      await shell.close();
    }
  },
});

await main(import.meta.url, command);
