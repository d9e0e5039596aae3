import { TaskError } from "../errors.ts";
import type { CommandError } from "../process.ts";
import { APPLY } from "./field-manager.ts";
import type { Kubectl } from "./kubectl.ts";

interface Explanation {
  readonly form: RegExp;
  readonly why: string;
  readonly todo: readonly string[];
  /** What to ask the cluster, as arguments of kubectl. */
  readonly ask?: readonly string[];
}

const EXPLANATIONS: readonly Explanation[] = [
  {
    form: /context "[^"]*" does not exist|context was not found|no context exists/,
    why: "The kubeconfig does not have this context",
    todo: ["Fetch it from the cluster's VM:", "$ npm run kubeconfig"],
  },
  {
    form: /x509|certificate signed by unknown authority|tls: /,
    why: "The certificate it shows is not the one in the kubeconfig: the cluster was made anew, or it is another machine",
    todo: ["Fetch the kubeconfig anew:", "$ npm run kubeconfig"],
  },
  {
    form: /\(Unauthorized\)|must be logged in|Unauthorized/,
    why: "It does not accept the kubeconfig's certificate",
    todo: ["Fetch the kubeconfig anew:", "$ npm run kubeconfig"],
  },
  {
    // Quotas and admission say "forbidden", too: those are about the object.
    form: /User "[^"]*" cannot /,
    why: "The kubeconfig's user may not do this",
    todo: [
      "Use an administrator's kubeconfig; the one that k3s leaves on the VM is one:",
      "$ npm run kubeconfig",
      "See what this one may do:",
    ],
    ask: ["auth", "can-i", "--list"],
  },
  {
    form: /connection refused|was refused|i\/o timeout|no route to host|network is unreachable|TLS handshake timeout|context deadline|proxyconnect|socks connect|EOF|connection reset/i,
    why: "The Kubernetes API does not answer",
    todo: [
      "See whether the VM runs and k3s has started on it:",
      "$ npm run status",
      "On the VM: sudo systemctl status k3s; sudo journalctl -u k3s -n 50",
      "If only the Proxmox node reaches the VM's network, set CLUSTER_ACCESS=jump",
    ],
  },
];

/**
 * What is wrong between us and a cluster, as opposed to what it said of the objects.
 * @param shown makes a command to paste of kubectl's arguments
 * @returns undefined when it was the objects
 */
export function clusterFailure(
  context: string,
  error: CommandError,
  shown: (...args: readonly string[]) => string,
): TaskError | undefined {
  const found = EXPLANATIONS.find(({ form }) => form.test(error.stderr));
  if (found === undefined) return undefined;
  return new TaskError({
    what: `The cluster ${context} cannot be used`,
    why: `${found.why}\n${lastLine(error.stderr)}`,
    todo: [...found.todo, ...(found.ask === undefined ? [] : [`$ ${shown(...found.ask)}`])],
    cause: error,
  });
}

/** kubectl repeats itself for each group it asks for; its last line says it all. */
function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) ?? "";
}

/**
 * The cluster's refusal of the root application, and how a person looks at it and does the same by hand.
 * @param directory of the kustomization, as people know it
 * @param left what was left behind
 */
export function notApplied(
  kubectl: Kubectl,
  directory: string,
  error: CommandError,
  left: string,
): TaskError {
  return new TaskError({
    what: "The root application was not applied",
    why: error.message,
    todo: [
      "See what is there of it, and what would change:",
      `$ ${kubectl.shown("get", "appprojects,applications", "-n", "argocd")}`,
      `$ kustomize build ${directory} | ${kubectl.shown("diff", "--server-side", "-f", "-")}`,
      "When it is mended, run it again, or apply it by hand:",
      `$ kustomize build ${directory} | ${kubectl.shown(...APPLY, "--force-conflicts", "-f", "-")}`,
    ],
    left: [left],
    cause: error,
  });
}
