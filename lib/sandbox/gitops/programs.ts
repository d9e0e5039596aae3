import { locateTool } from "../../toolchain/index.ts";
import { which } from "../../which.ts";

/** Where the programs lie that make the sandbox's Argo CD sync. */
export interface GitOpsPrograms {
  /** All of Argo CD's programs in one file. */
  readonly argocd: string;
  /** Argo CD's, which may be older than that of the manifests where it was built. */
  readonly version: string;
  readonly redis: string;
  /** What the repo server calls by name. */
  readonly called: Readonly<Record<"kustomize" | "helm", string>>;
}

/** Something that is not there, and the command that gets it. */
export interface MissingProgram {
  readonly name: string;
  readonly get: string;
}

/** Find the programs; nothing is downloaded or built. */
export async function locateGitOpsPrograms(): Promise<GitOpsPrograms | readonly MissingProgram[]> {
  const [argocd, kustomize, helm, redis, git] = await Promise.all([
    locateTool("argocd"),
    locateTool("kustomize"),
    locateTool("helm"),
    which("redis-server"),
    which("git"),
  ]);
  if (argocd && kustomize && helm && redis && git) {
    const called = { kustomize: kustomize.path, helm: helm.path };
    return { argocd: argocd.path, version: argocd.version, redis, called };
  }
  const ours = Object.entries({ argocd, kustomize, helm }).filter(([, tool]) => tool === undefined);
  return [
    ...ours.map(([name]) => ({
      name,
      get: `npm run setup -- --for ${name === "argocd" ? "gitops" : "deploy"}`,
    })),
    ...(redis ? [] : [{ name: "redis-server", get: "sudo apt-get install redis-server" }]),
    ...(git ? [] : [{ name: "git", get: "sudo apt-get install git" }]),
  ];
}
