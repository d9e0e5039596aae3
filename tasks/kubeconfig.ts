import { join } from "node:path";
import type { SettingName, Settings } from "../lib/config/index.ts";
import { TaskError } from "../lib/errors.ts";
import {
  ClusterSession,
  clusterOf,
  k3sCredentials,
  kubernetesNodes,
  mergeCluster,
  readKubeconfig,
  tunnelPort,
  updateKubeconfig,
} from "../lib/k8s/index.ts";
import { pollUntil } from "../lib/poll.ts";
import { type NodeShell, quoteWords, shellFrom, tunnelCommand } from "../lib/proxmox/index.ts";
import type { Sandbox } from "../lib/sandbox/index.ts";
import { defineCommand, main, type Step } from "../lib/task/index.ts";
import { type EnvironmentOutputs, parseOutputs, type TofuSession } from "../lib/tofu/index.ts";
import { K3S_YAML, k3sKubeconfig, Vm, waitForBoot, waitForCloudInit } from "../lib/vm/index.ts";
import {
  ENVIRONMENT_REQUIRES,
  ENVIRONMENT_USES,
  environmentDeps,
  environmentRequest,
  initSteps,
} from "./tf-init.ts";

/** Settings that lead to the VMs and the cluster on them. */
export const CLUSTER_USES = [
  "PM_API_URL",
  "PM_SSH_HOST",
  "PM_SSH_USER",
  "PM_SSH_PORT",
  "PM_SSH_CONFIG",
  "ENV",
  "CLUSTER_ACCESS",
  "KUBECONFIG",
] as const satisfies readonly SettingName[];

export type ClusterSettings = Settings<never, (typeof CLUSTER_USES)[number]>;

/** A VM with k3s on it, and where its kubeconfig is to go. */
export interface KubeconfigRequest {
  /** Known once the environment was applied. */
  vm(): Vm;
  readonly context: string;
  readonly kubeconfig: string;
}

const READY_MS = 5 * 60_000;

/** Fetch the kubeconfig from the cluster's VM and merge it into the person's own. */
export function kubeconfigSteps(
  { vm, context, kubeconfig }: KubeconfigRequest,
  cluster: ClusterSession,
): Step[] {
  let k3sYaml = "";
  return [
    {
      title: "Wait for the VM to boot",
      leaves: "The VM goes on booting; npm run kubeconfig waits for it again",
      preview: () => ["qm guest exec VMID -- cat /etc/ssh/ssh_host_ed25519_key.pub   # on the node"],
      async run({ signal, output }) {
        output(`${vm().name} (${vm().address})`);
        await waitForBoot(vm(), signal);
      },
    },
    {
      title: "Wait for cloud-init",
      leaves: "The VM goes on booting; npm run kubeconfig waits for it again",
      preview: () => ["cloud-init status --wait   # on the VM"],
      async run({ signal, note }) {
        const warning = await waitForCloudInit(vm(), signal);
        if (warning !== undefined) note(warning);
      },
    },
    {
      title: "Wait for k3s and fetch its kubeconfig",
      leaves: "k3s goes on starting; npm run kubeconfig waits for it again",
      preview: () => [`sudo cat ${K3S_YAML}   # on the VM`],
      async run({ signal, output }) {
        k3sYaml = await k3sKubeconfig(vm(), output, signal);
      },
    },
    {
      title: `Merge the context into ${kubeconfig}`,
      async run({ signal, note, confirm }) {
        const { address, jump } = vm();
        const server = `https://${address}:6443`;
        const before = await readKubeconfig(kubeconfig);
        const known = before === undefined ? undefined : clusterOf(before, context);
        const proxyUrl = known?.proxyUrl ?? `socks5://127.0.0.1:${tunnelPort(context)}`;
        const entry = {
          context,
          server,
          ...(jump ? { proxyUrl } : {}),
          credentials: k3sCredentials(k3sYaml),
        };
        const { replacedServer, currentContext, changed } = mergeCluster(before, entry);
        if (!changed) return;
        if (
          replacedServer !== undefined &&
          !(await confirm(`${context} leads to ${replacedServer} now; let it lead to ${server}?`))
        ) {
          throw new TaskError({
            what: `The context ${context} was not changed`,
            why: `It leads to ${replacedServer}, and the answer was no`,
            todo: [
              "Rename it first, or set KUBECONFIG to another file:",
              `$ kubectl config rename-context ${context} NAME`,
            ],
          });
        }
        const backup = await updateKubeconfig(kubeconfig, (text) => mergeCluster(text, entry).text, signal);
        if (backup !== undefined) note(`The kubeconfig as it was is kept in ${backup}`);
        if (currentContext !== context) {
          note(
            `The current context stays ${currentContext}; switch with: kubectl config use-context ${context}`,
          );
        }
        await cluster.close();
      },
    },
    {
      title: "Wait until the cluster answers and its node is ready",
      leaves: "The context is in your kubeconfig; npm run kubeconfig waits for the cluster again",
      preview: () => ["kubectl get nodes"],
      async run({ signal, output }) {
        const { name } = vm();
        await pollUntil(
          async () => {
            const nodes = await kubernetesNodes(await cluster.kubectl(signal), { signal });
            const node = nodes.find((each) => each.name === name);
            if (node?.ready) return { value: node };
            const pending = node === undefined ? `there is no node ${name} yet` : `node ${name} is not ready`;
            output(pending);
            return { pending };
          },
          { timeoutMs: READY_MS, everyMs: 500, signal },
          (why) =>
            new TaskError({
              what: `The cluster ${context} is not ready`,
              why,
              todo: [
                `$ kubectl --context=${context} describe node ${name}`,
                "On the VM: sudo journalctl -u k3s -n 50",
              ],
            }),
        );
      },
    },
  ];
}

/** The cluster session that settings come to. */
export function clusterSession(settings: ClusterSettings, shell: NodeShell, context: string): ClusterSession {
  return new ClusterSession({
    context,
    kubeconfig: settings.KUBECONFIG,
    program: async () => {
      const { ensureTool } = await import("../lib/toolchain/index.ts");
      return (await ensureTool("kubectl")).path;
    },
    ...(settings.CLUSTER_ACCESS === "jump" ? { jump: shell } : {}),
  });
}

/** The VM that an environment's outputs and the settings come to. */
export function vmFrom(
  settings: ClusterSettings,
  shell: NodeShell,
  { root, sandbox }: { readonly root: string; readonly sandbox: Sandbox | undefined },
  outputs: EnvironmentOutputs,
): Vm {
  return new Vm(shell, {
    ...outputs,
    jump: settings.CLUSTER_ACCESS === "jump",
    // The sandbox's VMs have the same addresses as real ones.
    knownHostsFile: join(sandbox?.dir ?? join(root, ".homelab"), "known_hosts"),
  });
}

/**
 * What an earlier step has found.
 * @throws {Error} when the steps are in the wrong order: a bug of ours
 */
export function known<Value>(found: Value | undefined): Value {
  if (found === undefined) throw new Error("a step comes before the one it needs");
  return found;
}

/** How a person's own kubectl reaches a cluster behind a jump host. */
export async function tunnelHint(
  settings: ClusterSettings,
  shell: NodeShell,
  context: string,
): Promise<string | undefined> {
  if (settings.CLUSTER_ACCESS !== "jump") return undefined;
  const text = await readKubeconfig(settings.KUBECONFIG);
  const proxy = text === undefined ? undefined : clusterOf(text, context)?.proxyUrl;
  return quoteWords(tunnelCommand(shell, Number(proxy?.split(":").at(-1) ?? tunnelPort(context))));
}

const command = defineCommand({
  name: "kubeconfig",
  summary: "Fetch the cluster's kubeconfig and merge it into your own, keeping everything that is there",
  requires: ENVIRONMENT_REQUIRES,
  uses: [...ENVIRONMENT_USES, ...CLUSTER_USES],
  async run(context) {
    const { settings } = context;
    const shell = shellFrom(settings);
    const cluster = clusterSession(settings, shell, settings.ENV);
    let session: TofuSession | undefined;
    let vm: Vm | undefined;
    const request: KubeconfigRequest = {
      vm: () => known(vm),
      context: settings.ENV,
      kubeconfig: settings.KUBECONFIG,
    };
    try {
      await context.steps([
        ...initSteps(await environmentRequest(settings, context), environmentDeps(settings), (opened) => {
          session = opened;
        }),
        {
          title: `Read the outputs of ${settings.ENV}`,
          async run() {
            const outputs = (await (await session?.tofu())?.outputs()) ?? {};
            vm = vmFrom(settings, shell, context, parseOutputs(outputs, settings.ENV));
          },
        },
        ...kubeconfigSteps(request, cluster),
      ]);
      const hint = await tunnelHint(settings, shell, settings.ENV);
      context.result(
        [
          `Context ${settings.ENV} is in ${settings.KUBECONFIG}`,
          ...(hint === undefined
            ? []
            : [`Only the node reaches the cluster: keep this open for your own kubectl`, `  $ ${hint}`]),
        ].join("\n"),
        { context: settings.ENV, kubeconfig: settings.KUBECONFIG, tunnel: hint ?? null },
      );
    } finally {
      session?.close();
      await cluster.close();
      await shell.close();
    }
  },
});

await main(import.meta.url, command);
