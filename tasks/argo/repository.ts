import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { demandFilled } from "../../lib/demand-filled.ts";
import { TaskError, UsageError } from "../../lib/errors.ts";
import { isModified, readRemote } from "../../lib/git.ts";
import {
  type Kustomize,
  makeLocalRepository,
  parseRepository,
  putStandIns,
  REPOSITORY_FILE,
  type RepositoryAddress,
  readRepository,
  writeRepository,
} from "../../lib/k8s/index.ts";
import { STAND_IN_CHARTS } from "../../lib/sandbox/index.ts";
import type { Step, StepControl } from "../../lib/task/index.ts";
import { BOOTSTRAP } from "../k8s-bootstrap.ts";

/** The repository that Argo CD is to read. */
export interface RepositoryRequest {
  /** The working tree's folder. */
  readonly root: string;
  /** What GIT_REPO_URL and GIT_REVISION say; undefined keeps what stands in the working tree. */
  readonly repoURL?: string | undefined;
  readonly targetRevision: string;
  /** On the sandbox: its folder, where a Git repository is made in place of a person's fork. */
  readonly sandboxDir?: string | undefined;
}

export interface RepositoryDeps {
  kustomize(control: StepControl): Promise<Kustomize>;
}

/** The request that settings come to. */
export function repositoryRequest(
  settings: { readonly GIT_REPO_URL: string | undefined; readonly GIT_REVISION: string },
  root: string,
  sandboxDir: string | undefined,
): RepositoryRequest {
  return {
    root,
    repoURL: settings.GIT_REPO_URL,
    targetRevision: settings.GIT_REVISION,
    sandboxDir,
  };
}

/** The working tree whose manifests are applied. */
export function treeOf({ root, sandboxDir }: RepositoryRequest): string {
  return sandboxDir === undefined ? root : join(sandboxDir, "git", "homelab");
}

/** The repository that Argo CD will read: its address in the right place, and readable. Needs no cluster. */
export function repositorySteps(request: RepositoryRequest, { kustomize }: RepositoryDeps): Step[] {
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

/**
 * The repository's address as the settings have it, else as it stands in the working tree.
 * @returns also whether it is to be written there, because the settings say otherwise and the person agrees
 */
async function ownAddress(
  { root, repoURL, targetRevision }: RepositoryRequest,
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
