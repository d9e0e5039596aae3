import * as v from "valibot";
import { parseAllDocuments } from "yaml";
import { TaskError } from "../errors.ts";
import type { RunOptions } from "../process.ts";
import { ARGO_NAMESPACE, argoLogin } from "./argo.ts";
import type { Kubectl } from "./kubectl.ts";

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
      status: v.optional(
        v.object({
          sync: v.optional(v.object({ status: v.optional(v.string()), revision: v.optional(v.string()) })),
          health: v.optional(v.object({ status: v.optional(v.string()) })),
          conditions: v.optional(v.array(v.object({ type: v.string(), message: v.string() })), []),
          operationState: v.optional(
            v.object({ phase: v.optional(v.string()), message: v.optional(v.string(), "") }),
          ),
        }),
      ),
    }),
  ),
});
type Status = v.InferOutput<typeof applicationsSchema>["items"][number]["status"];

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

/** Conditions such as ComparisonError, SyncError and InvalidSpecError; warnings are left out. */
function problemOf(status: Status): string | undefined {
  const errors = (status?.conditions ?? [])
    .filter(({ type }) => type.endsWith("Error"))
    .map(({ type, message }) => `${type}: ${message}`);
  const { phase = "", message = "" } = status?.operationState ?? {};
  if (errors.length === 0 && (phase === "Failed" || phase === "Error")) return message || `Sync: ${phase}`;
  return errors.length === 0 ? undefined : errors.join("\n");
}

/** What Argo CD's words point to. */
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
    /kustomize build|Manifest generation error|MalformedYAML/i,
    [
      "The manifests do not render; see it here, mend it, commit and push:",
      "$ kustomize build --enable-helm PATH",
    ],
  ],
];

/** What to do about an Application's problem, as far as Argo CD's words tell. */
export function hintsFor({ path, problem = "" }: Pick<Application, "path" | "problem">): string[] {
  const hints = HINTS.flatMap(([pattern, todo]) => (pattern.test(problem) ? todo : []));
  return hints.map((line) => line.replace("PATH", path));
}

/**
 * The error for an Application that Argo CD cannot sync: its words, what they point to, and where to look: the web
 * interface's address, and the same by kubectl.
 */
export function syncFailure(
  kubectl: Kubectl,
  { name, path, problem = "" }: Pick<Application, "name" | "path" | "problem">,
): TaskError {
  const [forward, password] = argoLogin(kubectl.target);
  const inArgo = (...args: readonly string[]): string => `$ ${kubectl.shown("-n", ARGO_NAMESPACE, ...args)}`;
  return new TaskError({
    what: `Argo CD cannot sync the Application ${name}`,
    why: problem,
    todo: [
      ...hintsFor({ path, problem }),
      "Look at it in Argo CD's web interface; open the way in another terminal:",
      `$ ${forward}`,
      `  https://localhost:8443/applications/${ARGO_NAMESPACE}/${name}   user admin, password from:`,
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
