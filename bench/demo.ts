import { measure } from "./measure.ts";

/** Steps that are nothing but waiting for an outside program. The rest is our own, the sandbox's node included. */
const OUTSIDE = [
  { who: "OpenTofu and the provider", form: /^(Initialise|Plan|Apply the plan to|Read the outputs)/ },
  {
    who: "Kubernetes control plane",
    // Cleaning up is waiting for the API server to end in order, 1.1 of 1.2 s.
    form: /^(Wait for k3s|Wait until the cluster answers|Wait until Argo CD is ready|Clean up)/,
  },
  {
    who: "kubectl and kustomize",
    form: /^(Look for an Argo CD|Render|Apply Argo CD|Check that (Argo CD|the kubeconfig's user)|Apply the project|Cluster and Applications)/,
  },
  { who: "Argo CD's controllers", form: /^Wait until the Applications are as in Git/ },
] as const;

interface StepLine {
  readonly event: string;
  readonly title: string;
  readonly state: string;
  readonly ms: number;
}

/** `npm run demo` with a warm toolchain, and what of it is not an outside program's. */
export async function demo(): Promise<string[]> {
  const run = await measure("npm", ["run", "--silent", "demo", "--", "--json"]);
  const steps = run.stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as StepLine)
    .filter(({ event, state }) => event === "step" && state === "done");
  const spent = OUTSIDE.map(({ who, form }) => ({
    who,
    seconds: steps.filter(({ title }) => form.test(title)).reduce((sum, { ms }) => sum + ms / 1000, 0),
  }));
  const rest = run.seconds - spent.reduce((sum, { seconds }) => sum + seconds, 0);
  const line = (who: string, seconds: number): string =>
    `${who.padEnd(28)} ${seconds.toFixed(1).padStart(5)} s  ${String(Math.round((seconds / run.seconds) * 100)).padStart(3)} %`;
  return [
    line("npm run demo (under 60 s)", run.seconds),
    ...spent.map(({ who, seconds }) => line(who, seconds)),
    line("everything else (under 15 %)", rest),
  ];
}
