import * as v from "valibot";
import { parseAllDocuments } from "yaml";
import { TaskError } from "../errors.ts";
import type { RunOptions } from "../process.ts";
import { ARGO_NAMESPACE, argoLogin } from "./argo.ts";
import type { Kubectl } from "./kubectl.ts";
import { problemOf, statusSchema } from "./problems.ts";

/** An Application and what Argo CD says of it. */
export interface Application {
  readonly name: string;
  readonly path: string;
  /** The repository it comes from. */
  readonly repoURL: string;
  /** The commit that it was last compared with. */
  readonly revision: string | undefined;
  /** "Synced", "OutOfSync"; undefined until Argo CD has looked at it. */
  readonly sync: string | undefined;
  readonly health: string | undefined;
  /** Why it cannot be compared or synced, in Argo CD's own words; undefined when nothing is wrong. */
  readonly problem: string | undefined;
}

const applicationsSchema = v.object({
  items: v.array(
    v.object({
      metadata: v.object({ name: v.string() }),
      spec: v.object({
        source: v.optional(
          v.object({ path: v.optional(v.string(), ""), repoURL: v.optional(v.string(), "") }),
        ),
      }),
      status: v.optional(statusSchema),
    }),
  ),
});

/** Every Application, by name. */
export async function applications(kubectl: Kubectl, options: RunOptions = {}): Promise<Application[]> {
  const args = ["applications.argoproj.io", "-n", ARGO_NAMESPACE];
  const { items } = await kubectl.get(args, applicationsSchema, options);
  return items.map(({ metadata, spec, status }) => ({
    name: metadata.name,
    path: spec.source?.path ?? "",
    repoURL: spec.source?.repoURL ?? "",
    revision: status?.sync?.revision,
    sync: status?.sync?.status,
    health: status?.health?.status,
    problem: problemOf(status),
  }));
}

/** What Argo CD's words point to; the first that fits. */
const HINTS: readonly (readonly [pattern: RegExp, todo: readonly string[]])[] = [
  [
    /authentication required|authorization failed|permission denied|could not read Username|repository not found|Repository not accessible/i,
    [
      "Argo CD may not read the repository: check GIT_REPO_URL, and give it credentials where it is private:",
      "$ argocd repo add GIT_REPO_URL --username NAME --password TOKEN",
    ],
  ],
  [
    /app path does not exist|unable to resolve .* to a commit SHA|couldn't find remote ref/i,
    ["It reads what is pushed: push your commits, and check GIT_REVISION", "$ git push"],
  ],
  [
    /helm pull|chart repository/i,
    [
      "Argo CD cannot fetch the chart; see whether this machine can:",
      "$ kustomize build --enable-helm PATH",
      "If nothing in the cluster reaches it, commit what was fetched into charts/ beside the kustomization (git add --force)",
    ],
  ],
  [
    /is not permitted in project|do not match any of the allowed destinations/,
    [
      "Allow it in k8s/argo/projects/default-project.yaml, if it is meant to be, commit and push; then:",
      "$ npm run argo",
    ],
  ],
  [
    /failed to list refs|unable to access|dial tcp|no such host/i,
    [
      "Argo CD does not reach the repository: check its address, and the cluster's network",
      "$ git ls-remote URL",
    ],
  ],
  [
    /kustomize build|Manifest generation error|MalformedYAML/i,
    [
      "The manifests do not render; see it here, mend it, commit and push:",
      "$ kustomize build --enable-helm PATH",
    ],
  ],
];

/** What to do about an Application's problem, as far as Argo CD's words tell. */
export function hintsFor({
  path,
  repoURL,
  problem = "",
}: Pick<Application, "path" | "repoURL" | "problem">): string[] {
  const [, todo = []] = HINTS.find(([pattern]) => pattern.test(problem)) ?? [];
  return todo.map((line) => line.replace("PATH", path).replace(/\bURL$/, repoURL));
}

/**
 * The error for an Application that Argo CD cannot sync: its words, what they point to, and where to look: the web
 * interface's address, and the same by kubectl.
 */
export function syncFailure(kubectl: Kubectl, { name, path, repoURL, problem = "" }: Application): TaskError {
  const [forward, password] = argoLogin(kubectl.target);
  const inArgo = (...args: readonly string[]): string => `$ ${kubectl.shown("-n", ARGO_NAMESPACE, ...args)}`;
  return new TaskError({
    what: `Argo CD cannot sync the Application ${name}`,
    why: problem,
    todo: [
      ...hintsFor({ path, repoURL, problem }),
      "Look at it in Argo CD's web interface; open the way in another terminal:",
      `$ ${forward}`,
      `Then go to https://localhost:8443/applications/${ARGO_NAMESPACE}/${name} as user admin, with the password from:`,
      `$ ${password}`,
      "Or by kubectl:",
      inArgo("describe", "applications.argoproj.io", name),
      inArgo("logs", "deployment/argocd-repo-server", "--tail=50"),
    ],
    left: ["The Application stays; Argo CD tries again by itself"],
  });
}

const renderedSchema = v.object({
  kind: v.literal("Application"),
  metadata: v.object({ name: v.string() }),
  spec: v.object({
    source: v.object({ repoURL: v.string(), path: v.optional(v.string(), "") }),
    destination: v.object({ namespace: v.optional(v.string(), "default") }),
  }),
});

/** An Application as a kustomization renders it. */
export interface RenderedApplication {
  readonly name: string;
  readonly repoURL: string;
  readonly path: string;
  /** Where its objects go. */
  readonly namespace: string;
}

/** The Applications among rendered manifests. */
export function applicationsIn(manifests: string): RenderedApplication[] {
  return parseAllDocuments(manifests).flatMap((document) => {
    const parsed = v.safeParse(renderedSchema, document.toJS());
    if (!parsed.success) return [];
    const { metadata, spec } = parsed.output;
    return [{ name: metadata.name, ...spec.source, namespace: spec.destination.namespace }];
  });
}
