import { join } from "node:path";
import type { SettingName, Settings } from "../lib/config/index.ts";
import { messageOf, TaskError } from "../lib/errors.ts";
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
import { CommandError } from "../lib/process.ts";
import { learnHostKey, type NodeShell, quoteWords, shellFrom, tunnelCommand } from "../lib/proxmox/index.ts";
import { defineCommand, main, type Step } from "../lib/task/index.ts";
import { type EnvironmentOutputs, parseOutputs, type TofuSession } from "../lib/tofu/index.ts";
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
  vm(): EnvironmentOutputs;
  readonly kubeconfig: string;
  /** Whether the VM is reached through the node alone. */
  readonly jump: boolean;
  /** The project's own known_hosts file for VMs. */
  readonly knownHostsFile: string;
}

export interface KubeconfigDeps {
  readonly shell: NodeShell;
  readonly cluster: ClusterSession;
}

const K3S_YAML = "/etc/rancher/k3s/k3s.yaml";
const BOOT_MS = 10 * 60_000;
const READY_MS = 5 * 60_000;

/** Fetch the kubeconfig from the cluster's VM and merge it into the person's own. */
export function kubeconfigSteps(request: KubeconfigRequest, { shell, cluster }: KubeconfigDeps): Step[] {
  const { kubeconfig, jump, knownHostsFile } = request;
  let k3sYaml = "";

  const onVm = async (words: readonly string[], signal: AbortSignal): Promise<string> => {
    const { address, user } = request.vm();
    return (await shell.runOnVm({ address, user, jump, knownHostsFile }, words, { signal })).stdout;
  };

  return [
    {
      title: "Wait for the VM to boot",
      preview: () => [`qm guest exec VMID -- cat /etc/ssh/ssh_host_ed25519_key.pub   # on the node`],
      async run({ signal, output }) {
        const { vmid, name, address } = request.vm();
        output(`${name} (${address})`);
        await pollUntil(
          async () => {
            try {
              await learnHostKey(shell, { vmid, address }, knownHostsFile, signal);
              return { value: true };
            } catch (error) {
              const { why = "" } = error as TaskError;
              if (!(error instanceof TaskError) || !/guest agent|no key/i.test(why)) throw error;
              return { pending: why };
            }
          },
          { timeoutMs: BOOT_MS, signal },
          (why) =>
            new TaskError({
              what: `VM ${vmid} (${name}) did not boot`,
              why,
              todo: [
                "Look at its console in the web interface, or on the node:",
                `$ qm status ${vmid}; qm terminal ${vmid}`,
                "qemu-guest-agent has to run in the image",
              ],
              left: ["The VM is left as it is"],
            }),
        );
      },
    },
    {
      title: "Wait for cloud-init",
      preview: () => ["cloud-init status --wait   # on the VM"],
      async run({ signal, note }) {
        const { address, user } = request.vm();
        try {
          await pollUntil(
            async () => {
              try {
                return { value: await onVm(["cloud-init", "status", "--wait"], signal) };
              } catch (error) {
                // sshd may come a moment after the agent.
                if (error instanceof TaskError && /refused|closed|reset/i.test(error.why ?? ""))
                  return { pending: error.why ?? "" };
                throw error;
              }
            },
            { timeoutMs: 60_000, signal },
            (why) => new TaskError({ what: `SSH to ${user}@${address} does not answer`, why }),
          );
        } catch (error) {
          if (!(error instanceof CommandError)) throw error;
          const logs = "/var/log/cloud-init-output.log and /var/log/cloud-init.log on the VM";
          // 2: done, with complaints that it could recover from.
          if (error.exitCode === 2) return note(`cloud-init is done, with warnings: see ${logs}`);
          throw new TaskError({
            what: `cloud-init failed on ${address}`,
            why: `${error.stdout.trim()}\n${error.message}`.trim(),
            todo: [`Its logs are ${logs}`, `$ ssh ${user}@${address} cloud-init status --long`],
            left: ["The VM is left as it is"],
            cause: error,
          });
        }
      },
    },
    {
      title: "Wait for k3s and fetch its kubeconfig",
      preview: () => [`sudo cat ${K3S_YAML}   # on the VM`],
      async run({ signal, output }) {
        const { address, user } = request.vm();
        const started = performance.now();
        k3sYaml = await pollUntil(
          async () => {
            const state = await onVm(["systemctl", "is-active", "k3s"], signal).catch((error: unknown) =>
              error instanceof CommandError ? error.stdout : Promise.reject(error),
            );
            if (state.trim() === "active")
              return { value: await onVm(["sudo", "-n", "cat", K3S_YAML], signal) };
            output(`k3s is ${state.trim()} (${Math.round((performance.now() - started) / 1000)} s)`);
            if (state.trim() === "failed") throw await k3sFailed(state);
            return { pending: `systemctl is-active k3s says ${state.trim()}` };
          },
          { timeoutMs: BOOT_MS, everyMs: 500, signal },
          (why) => k3sNotUp(address, user, why),
        ).catch((error: unknown) => {
          if (!(error instanceof CommandError)) throw error;
          throw k3sNotUp(address, user, error.message);
        });

        async function k3sFailed(state: string): Promise<TaskError> {
          const log = await onVm(["sudo", "-n", "journalctl", "-u", "k3s", "-n", "20", "--no-pager"], signal)
            .then((text) => text.trim())
            .catch(messageOf);
          return k3sNotUp(address, user, [`systemctl is-active k3s says ${state.trim()}`, log].join("\n"));
        }
      },
    },
    {
      title: `Merge the context into ${kubeconfig}`,
      async run({ signal, note, confirm }) {
        const { context, address } = request.vm();
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
      preview: () => ["kubectl get nodes"],
      async run({ signal, output }) {
        const { name, context } = request.vm();
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

function k3sNotUp(address: string, user: string, why: string): TaskError {
  return new TaskError({
    what: `k3s did not come up on ${address}`,
    why,
    todo: ["Look at its log:", `$ ssh ${user}@${address} sudo journalctl -u k3s -n 100`],
    left: ["The VM is left as it is; run the task again to go on waiting"],
  });
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

/** The request that settings come to. */
export function kubeconfigRequest(
  settings: ClusterSettings,
  { root, sandboxDir }: { readonly root: string; readonly sandboxDir: string | undefined },
  vm: () => EnvironmentOutputs,
): KubeconfigRequest {
  return {
    vm,
    kubeconfig: settings.KUBECONFIG,
    jump: settings.CLUSTER_ACCESS === "jump",
    knownHostsFile: join(sandboxDir ?? join(root, ".homelab"), "known_hosts"),
  };
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
    const { settings, root, sandbox } = context;
    const shell = shellFrom(settings);
    const cluster = clusterSession(settings, shell, settings.ENV);
    let session: TofuSession | undefined;
    let vm: EnvironmentOutputs | undefined;
    const request = kubeconfigRequest(settings, { root, sandboxDir: sandbox?.dir }, () => {
      if (vm === undefined) throw new Error("the outputs are read first");
      return vm;
    });
    try {
      await context.steps([
        ...initSteps(await environmentRequest(settings, context), environmentDeps(settings), (opened) => {
          session = opened;
        }),
        {
          title: `Read the outputs of ${settings.ENV}`,
          async run() {
            vm = parseOutputs((await (await session?.tofu())?.outputs()) ?? {}, settings.ENV);
          },
        },
        ...kubeconfigSteps(request, { shell, cluster }),
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
