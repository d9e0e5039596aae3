import * as v from "valibot";
import { TaskError } from "../errors.ts";
import type { RunOptions } from "../process.ts";
import { FIELD_MANAGER } from "./field-manager.ts";
import type { Kubectl } from "./kubectl.ts";

/** A namespace that something is to be put into. */
export interface Claim {
  readonly namespace: string;
  /** What is to go there, as a part of a sentence: "Argo CD", "the Application phpipam". */
  readonly tenant: string;
  /** The Application that Argo CD would know its objects by. */
  readonly application?: string;
}

/** Workloads of somebody else in a namespace that we mean to use. */
export interface Company {
  readonly claim: Claim;
  /** "deployment/web" */
  readonly workloads: readonly string[];
}

const metadata = v.object({
  name: v.string(),
  deletionTimestamp: v.optional(v.string()),
  labels: v.optional(v.record(v.string(), v.string()), {}),
  annotations: v.optional(v.record(v.string(), v.string()), {}),
  ownerReferences: v.optional(v.array(v.unknown()), []),
  managedFields: v.optional(v.array(v.object({ manager: v.optional(v.string()) })), []),
});
type Metadata = v.InferOutput<typeof metadata>;
const listSchema = v.object({ items: v.array(v.object({ kind: v.string(), metadata })) });

/** Where Argo CD notes which Application an object belongs to: APPLICATION:GROUP/KIND:NAMESPACE/NAME. */
const TRACKING = "argocd.argoproj.io/tracking-id";

/**
 * See whether namespaces are free to be used: not on their way out, and nobody else's.
 * @returns for each namespace that is shared, what runs there already: whoever asks decides whether that is in order
 * @throws {TaskError} when one is being removed, or is managed by Helm or by another Application
 */
export async function demandNamespaces(
  kubectl: Kubectl,
  claims: readonly Claim[],
  options: RunOptions = {},
): Promise<Company[]> {
  const { items } = await kubectl.get(["namespaces"], listSchema, options);
  const shared: Company[] = [];
  for (const claim of claims) {
    const found = items.find((item) => item.metadata.name === claim.namespace);
    if (found === undefined) continue;
    refuseRemoval(kubectl, claim, found.metadata);
    refuseManager(kubectl, claim, found.metadata);
    const args = ["deployments,statefulsets,daemonsets", "-n", claim.namespace, "--show-managed-fields"];
    const workloads = (await kubectl.get(args, listSchema, options)).items
      .filter((item) => item.metadata.ownerReferences.length === 0 && !belongsTo(claim, item.metadata))
      .map(({ kind, metadata: { name } }) => `${kind.toLowerCase()}/${name}`);
    if (workloads.length > 0) shared.push({ claim, workloads });
  }
  return shared;
}

/** A refusal for a namespace that the person does not want to share. */
export function notShared(kubectl: Kubectl, { claim, workloads }: Company): TaskError {
  const { namespace, tenant } = claim;
  return new TaskError({
    what: `The namespace ${namespace} is used by somebody else`,
    why: `${workloads.join(", ")} runs there, and ${tenant} would overwrite objects of the same names`,
    todo: [
      "See what is there:",
      `$ ${kubectl.shown("get", "all", "-n", namespace)}`,
      "If nobody needs it, remove it; all that is in it is lost:",
      `$ ${kubectl.shown("delete", "namespace", namespace)}`,
    ],
    left: ["Nothing was changed"],
  });
}

function refuseRemoval(kubectl: Kubectl, { namespace, tenant }: Claim, found: Metadata): void {
  if (found.deletionTimestamp === undefined) return;
  throw new TaskError({
    what: `The namespace ${namespace} is being removed`,
    why: `Since ${found.deletionTimestamp}; until it is gone, ${tenant} cannot be put there`,
    todo: [
      "Wait until it is gone, then run this again:",
      `$ ${kubectl.shown("wait", "--for=delete", `namespace/${namespace}`, "--timeout=5m")}`,
      "If it stays, its status says what keeps it (often a finalizer whose controller is gone):",
      `$ ${kubectl.shown("get", "namespace", namespace, "-o", "jsonpath={.status.conditions[*].message}")}`,
    ],
    left: ["Nothing was changed"],
  });
}

function refuseManager(kubectl: Kubectl, claim: Claim, found: Metadata): void {
  const { namespace, tenant } = claim;
  const { annotations, labels } = found;
  const release = annotations["meta.helm.sh/release-name"];
  const tracked = annotations[TRACKING]?.split(":")[0];
  const helm = release !== undefined || labels["app.kubernetes.io/managed-by"] === "Helm";
  const manager = helm
    ? `Helm${release === undefined ? "" : ` (release ${release})`}`
    : tracked !== undefined && tracked !== claim.application
      ? `Argo CD's Application ${tracked}`
      : undefined;
  if (manager === undefined) return;
  throw new TaskError({
    what: `The namespace ${namespace} belongs to somebody else`,
    why: `${manager} manages it, and would undo what ${tenant} needs there, or remove it`,
    todo: [
      "See who made it:",
      `$ ${kubectl.shown("get", "namespace", namespace, "-o", "yaml")}`,
      helm
        ? "Then uninstall that release (helm list --all-namespaces), or give ours another namespace in k8s/"
        : "Then let that Application go, or give ours another namespace in k8s/",
    ],
    left: ["Nothing was changed"],
  });
}

/**
 * Whether a workload is what we have applied, or what Argo CD has made of the Application: that it notes in an annotation;
 * before version 3 in a label, which charts set as well.
 */
function belongsTo({ application }: Claim, { annotations, labels, managedFields }: Metadata): boolean {
  if (managedFields.some(({ manager }) => manager === FIELD_MANAGER)) return true;
  if (application === undefined) return false;
  const tracked = annotations[TRACKING];
  if (tracked !== undefined) return tracked.split(":")[0] === application;
  const byHelm = annotations["meta.helm.sh/release-name"] !== undefined;
  return !byHelm && labels["app.kubernetes.io/instance"] === application;
}
