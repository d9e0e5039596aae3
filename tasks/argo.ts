import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { demandFilled } from "../lib/demand-filled.ts";
import { TaskError, UsageError } from "../lib/errors.ts";
import { isModified, readRemote } from "../lib/git.ts";
import {
  type Application,
  ARGO_NAMESPACE,
  type ClusterSession,
  demandNamespaces,
  demandPermissions,
  findArgo,
  type Kustomize,
  kustomizeBuild,
  makeLocalRepository,
  notApplied,
  notShared,
  parseRepository,
  putStandIns,
  REPOSITORY_FILE,
  type RepositoryAddress,
  readRepository,
  renderApplications,
  writeRepository,
} from "../lib/k8s/index.ts";
import { CommandError } from "../lib/process.ts";
import { shellFrom } from "../lib/proxmox/index.ts";
import { STAND_IN_CHARTS } from "../lib/sandbox/index.ts";
import { defineCommand, main, type Step, type StepControl } from "../lib/task/index.ts";
import { syncStep } from "./applications/sync.ts";
import { BOOTSTRAP, bootstrapDeps } from "./k8s-bootstrap.ts";
import { CLUSTER_USES, clusterSession } from "./kubeconfig.ts";

export interface ArgoRequest {
  /** The repository's folder. */
  readonly root: string;
  /** What GIT_REPO_URL and GIT_REVISION say; undefined keeps what stands in the working tree. */
  readonly repoURL?: string | undefined;
  readonly targetRevision: string;
  /** On the sandbox: its folder, where a Git repository is made in place of a person's fork. */
  readonly sandboxDir?: string | undefined;
  /** Told what has become of the Applications. */
  readonly done?: (applications: readonly Application[]) => void;
}

export interface ArgoDeps {
  readonly cluster: ClusterSession;
  kustomize(control: StepControl): Promise<Kustomize>;
}

/** Where the project and the root application lie in the repository. */
export const ARGO = join("k8s", "argo");
/** What the root application points at. */
const CLUSTER = join("k8s", "clusters", "home");
const ROOT_APPLICATION = "app-of-apps";

/** The repository that Argo CD will read: its address in the right place, and readable. Needs no cluster. */
export function repositorySteps(request: ArgoRequest, { kustomize }: Pick<ArgoDeps, "kustomize">): Step[] {
  const { root, sandboxDir } = request;
  let address: RepositoryAddress;
  let agreed = false;
  return [
    {
      title: "Make a Git repository for the sandbox",
      skip: () => sandboxDir === undefined && "your own repository is used",
      async run(control) {
        const { signal, note } = control;
        const { helm } = await kustomize(control);
        address = await makeLocalRepository(root, treeOf(request), signal, async (folder) => {
          if (helm === undefined) return;
          for (const { name, version, repo } of await putStandIns(folder, STAND_IN_CHARTS, helm, signal)) {
            note(
              `The chart ${name} ${version} cannot be fetched from ${repo}: the sandbox's repository has a stand-in with the same values and kinds of objects`,
            );
          }
        });
      },
    },
    {
      title: "Compare the repository's address with the one in Git",
      skip: () => sandboxDir !== undefined && "the sandbox has its own",
      async run({ confirm }) {
        await demandFilled(root, {
          paths: ["k8s/argo/", "k8s/clusters/"],
          // The address has words of its own, and Argo CD's installation a task of its own.
          except: [REPOSITORY_FILE, `${BOOTSTRAP}/`],
          otherwise: "Argo CD would apply it as it is",
        });
        ({ address, agreed } = await ownAddress(request, confirm));
      },
    },
    {
      title: "Check that Git gives access to the repository",
      preview: () => ["git fetch --depth=1 GIT_REPO_URL GIT_REVISION"],
      async run({ signal, note }) {
        const pushed = await demandCopy(address, signal);
        // Not before it is known to be one: whoever has mistyped it has nothing to take back.
        if (agreed) {
          await writeRepository(root, address);
          note(
            `${REPOSITORY_FILE} names ${address.repoURL} now; commit and push it: Argo CD reads what is pushed`,
          );
        }
        await tellPushed(treeOf(request), address, pushed, note);
      },
    },
  ];
}

/** The working tree whose manifests are applied. */
export function treeOf({ root, sandboxDir }: ArgoRequest): string {
  return sandboxDir === undefined ? root : join(sandboxDir, "git", "homelab");
}

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

/**
 * The repository's address as the settings have it, else as it stands in the working tree.
 * @returns also whether it is to be written there, because the settings say otherwise and the person agrees
 */
async function ownAddress(
  { root, repoURL, targetRevision }: ArgoRequest,
  confirm: StepControl["confirm"],
): Promise<{ readonly address: RepositoryAddress; readonly agreed: boolean }> {
  const there = await readRepository(root);
  const file = await readFile(join(root, REPOSITORY_FILE), "utf8");
  const line = file.split("\n").findIndex((each) => each.includes(there.repoURL)) + 1;
  if (repoURL === undefined && there.repoURL.includes("CHANGEME")) {
    throw new UsageError({
      what: "GIT_REPO_URL is missing",
      why: `Argo CD reads a repository of your own, and ${REPOSITORY_FILE}:${line} does not name one yet`,
      todo: [
        "Fork this repository, then set it in .env: GIT_REPO_URL=https://github.com/you/homelab.git",
        "$ npm run argo",
      ],
    });
  }
  const wanted = { repoURL: repoURL ?? there.repoURL, targetRevision };
  if (there.repoURL === wanted.repoURL && there.targetRevision === wanted.targetRevision)
    return { address: wanted, agreed: false };
  if (!(await confirm(`Write ${wanted.repoURL} (${wanted.targetRevision}) into ${REPOSITORY_FILE}?`))) {
    throw new TaskError({
      what: `${REPOSITORY_FILE} names another repository than GIT_REPO_URL`,
      why: `It has ${there.repoURL} (${there.targetRevision}), the settings have ${wanted.repoURL} (${wanted.targetRevision})`,
      todo: ["Set GIT_REPO_URL and GIT_REVISION to what the file has, or let the task write it"],
      left: ["Nothing was changed"],
    });
  }
  return { address: wanted, agreed: true };
}

/**
 * Argo CD has to be able to read the repository, and it has to be a copy of this one.
 * @returns what is pushed there as the repository's address
 */
async function demandCopy(
  { repoURL, targetRevision }: RepositoryAddress,
  signal: AbortSignal,
): Promise<RepositoryAddress> {
  const { file, commit } = await readRemote(repoURL, targetRevision, REPOSITORY_FILE, signal);
  if (file === undefined) {
    throw new TaskError({
      what: `${repoURL} is not a copy of this repository`,
      why: `It has no ${REPOSITORY_FILE} at ${targetRevision} (${commit.slice(0, 10)})`,
      todo: ["Push this repository there:", `$ git push ${repoURL} HEAD`],
    });
  }
  return parseRepository(file);
}

/** What is pushed has to name the same repository. */
async function tellPushed(
  tree: string,
  { repoURL, targetRevision }: RepositoryAddress,
  pushed: RepositoryAddress,
  note: StepControl["note"],
): Promise<void> {
  if (pushed.repoURL === repoURL && pushed.targetRevision === targetRevision) return;
  note(
    [
      `In Git, ${REPOSITORY_FILE} still has ${pushed.repoURL} (${pushed.targetRevision}): the Applications below the root use that`,
      (await isModified(tree, REPOSITORY_FILE))
        ? `commit and push it: git commit -m "Name our repository" ${REPOSITORY_FILE} && git push`
        : "push what is committed: git push",
    ].join("; "),
  );
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
        ...argoRequest(settings, root, sandbox?.dir),
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

/** The request that settings come to. */
export function argoRequest(
  settings: { readonly GIT_REPO_URL: string | undefined; readonly GIT_REVISION: string },
  root: string,
  sandboxDir: string | undefined,
): ArgoRequest {
  return {
    root,
    repoURL: settings.GIT_REPO_URL,
    targetRevision: settings.GIT_REVISION,
    sandboxDir,
  };
}

await main(import.meta.url, command);
