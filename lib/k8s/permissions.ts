import { TaskError } from "../errors.ts";
import type { RunOptions } from "../process.ts";
import type { Kubectl } from "./kubectl.ts";
import { objectsIn, resourceOf } from "./objects.ts";

/** What server-side apply needs for an object that may or may not be there. */
const VERBS = ["create", "patch"] as const;

/** One question to the cluster. */
interface Question {
  readonly verb: (typeof VERBS)[number];
  readonly resource: string;
  readonly group: string;
  readonly namespace: string | undefined;
}

/**
 * Ask the cluster, before anything is applied, whether the kubeconfig's user may apply all of it: half an installation
 * is harder to mend than none.
 * @param purpose ends the sentence "The kubeconfig's user may not …"
 * @throws {TaskError} naming what is not allowed
 * @see https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access (what `kubectl auth can-i` asks)
 */
export async function demandPermissions(
  kubectl: Kubectl,
  manifests: string,
  purpose: string,
  options: RunOptions = {},
): Promise<void> {
  const questions = questionsOf(manifests);
  const denied = await deniedOf(kubectl, questions, options);
  if (denied.length === 0) return;
  const [first] = denied;
  const { context } = kubectl.target;
  throw new TaskError({
    what: `The kubeconfig's user may not ${purpose}`,
    why: [`The cluster ${context} does not allow it to`, ...denied.map((each) => `  ${sentence(each)}`)].join(
      "\n",
    ),
    todo: [
      "Use an administrator's kubeconfig; the one that k3s leaves on the VM is one:",
      "$ npm run kubeconfig",
      "Or have it allowed, and ask the cluster again:",
      ...(first === undefined ? [] : [`$ ${kubectl.shown(...canI(first))}`]),
    ],
    left: ["Nothing was changed"],
  });
}

function questionsOf(manifests: string): Question[] {
  const found = new Map<string, Question>();
  for (const { group, kind, namespace } of objectsIn(manifests)) {
    for (const verb of VERBS) {
      const question = { verb, resource: resourceOf(kind), group, namespace };
      found.set(canI(question).join(" "), question);
    }
  }
  return [...found.values()];
}

/** All questions in one call: each is an object that is never stored, and comes back with its answer. */
async function deniedOf(
  kubectl: Kubectl,
  questions: readonly Question[],
  options: RunOptions,
): Promise<Question[]> {
  const items = questions.map(({ verb, resource, group, namespace }) => ({
    apiVersion: "authorization.k8s.io/v1",
    kind: "SelfSubjectAccessReview",
    spec: {
      resourceAttributes: { verb, resource, group, ...(namespace === undefined ? {} : { namespace }) },
    },
  }));
  const input = JSON.stringify({ apiVersion: "v1", kind: "List", items });
  const format = "jsonpath={.status.allowed}{'\\n'}";
  const { stdout } = await kubectl.run(["create", "--validate=false", "-f", "-", "-o", format], {
    ...options,
    input,
  });
  const answers = stdout.trim().split("\n");
  return questions.filter((_question, at) => answers[at] !== "true");
}

function sentence({ verb, resource, group, namespace }: Question): string {
  return `${verb} ${fullName({ resource, group })}${namespace === undefined ? "" : ` in the namespace ${namespace}`}`;
}

function canI({ verb, resource, group, namespace }: Question): string[] {
  const where = namespace === undefined ? [] : ["-n", namespace];
  return ["auth", "can-i", verb, fullName({ resource, group }), ...where];
}

function fullName({ resource, group }: Pick<Question, "resource" | "group">): string {
  return group === "" ? resource : `${resource}.${group}`;
}
