import type { SettingName, Settings } from "../lib/config/index.ts";
import { messageOf, TaskError } from "../lib/errors.ts";
import {
  type Application,
  applications,
  type ClusterSession,
  findArgo,
  hintsFor,
  type KubernetesNode,
  kubernetesNodes,
} from "../lib/k8s/index.ts";
import { apiFrom, listVms, shellFrom, type VmSummary } from "../lib/proxmox/index.ts";
import { syncingArgo } from "../lib/sandbox/index.ts";
import { defineCommand, main, type Step } from "../lib/task/index.ts";
import { CLUSTER_USES, clusterSession } from "./kubeconfig.ts";
import { ENVIRONMENT_REQUIRES, ENVIRONMENT_USES, templateOf } from "./tf-init.ts";

export const STATUS_REQUIRES = ENVIRONMENT_REQUIRES;
export const STATUS_USES = [...ENVIRONMENT_USES, ...CLUSTER_USES] as const satisfies readonly SettingName[];
type StatusSettings = Settings<(typeof STATUS_REQUIRES)[number], (typeof STATUS_USES)[number]>;

/** What there is; each part is a message where it could not be found out. */
export interface Status {
  template: VmSummary | string;
  /** VMs of the environments here. */
  vms: readonly VmSummary[] | string;
  nodes: readonly KubernetesNode[] | string;
  argocd: string;
  /** In the sandbox: the version of Argo CD's controllers that really run; undefined where they are simulated as well. */
  controllers?: string | undefined;
  applications: readonly Application[] | string;
}

/** Look at everything at once; a part that cannot be read does not hide the others. */
export function statusSteps(
  settings: StatusSettings,
  cluster: ClusterSession,
  status: Status,
  sandboxDir?: string,
): Step[] {
  const api = apiFrom(settings);
  const name = templateOf(settings);
  return [
    {
      title: "Look at the node and the cluster",
      parallel: true,
      run: async () => [
        {
          title: "Template and VMs",
          run: async ({ signal }) => {
            try {
              const all = await listVms(api, signal);
              status.template = all.find((vm) => vm.template && vm.name === name) ?? `there is no ${name}`;
              // A node may have many VMs: those that the module made carry its tag.
              status.vms = all.filter(({ template, tags }) => !template && tags.includes("homelab"));
            } catch (error) {
              status.template = status.vms = unknown(error, signal);
            } finally {
              await api.close();
            }
          },
        },
        {
          title: "Cluster and Applications",
          run: async ({ signal }) => {
            try {
              const kubectl = await cluster.kubectl(signal);
              const [nodes, argo] = await Promise.all([
                kubernetesNodes(kubectl, { signal }),
                findArgo(kubectl, { signal }),
              ]);
              status.nodes = nodes;
              status.argocd = argo === undefined ? "not installed" : `${argo.version} in ${argo.namespace}`;
              status.applications = argo === undefined ? [] : await applications(kubectl, { signal });
              if (sandboxDir !== undefined) status.controllers = await syncingArgo(sandboxDir);
            } catch (error) {
              status.nodes = unknown(error, signal);
              status.argocd = status.applications = "unknown";
            }
          },
        },
      ],
    },
  ];
}

/** A status of which nothing is known yet. */
export function emptyStatus(): Status {
  return {
    template: "unknown",
    vms: "unknown",
    nodes: "unknown",
    argocd: "unknown",
    applications: "unknown",
  };
}

/** One screen. */
export function statusLines(status: Status, simulated: boolean): string[] {
  const { template, vms, nodes, argocd, controllers, applications: apps } = status;
  return [
    row(
      "Template",
      typeof template === "string" ? template : `${template.name} (${template.vmid} on ${template.node})`,
    ),
    ...rows("VMs", vms, (vm) => `${vm.name} (${vm.vmid} on ${vm.node}) ${vm.status}`, "none"),
    ...rows(
      "Nodes",
      nodes,
      ({ name, ready, version }) => `${name} ${ready ? "Ready" : "NotReady"} ${version}`,
      "none",
    ),
    row(
      "Argo CD",
      simulated && /^\d/.test(argocd)
        ? `${argocd} (${
            controllers === undefined
              ? "its containers are simulated: it syncs nothing"
              : `its controllers ${controllers} run, its other containers are simulated`
          })`
        : argocd,
    ),
    ...rows("Applications", apps, applicationText, "none"),
  ];
}

/** An Application on a line, and below it what is wrong with it and what to do. */
function applicationText(application: Application): string {
  const { name, path, sync, health, problem } = application;
  const line = `${name} ${sync ?? "not looked at yet"} ${health ?? ""} ${path}`.replace(/ +/g, " ");
  if (problem === undefined) return line;
  const below = [...problem.split("\n").map((each) => `✖ ${each}`), ...hintsFor(application)];
  return [line, ...below.map((each) => row("", `  ${each}`))].join("\n");
}

function rows<Item>(
  title: string,
  items: readonly Item[] | string,
  show: (item: Item) => string,
  none: string,
): string[] {
  if (typeof items === "string") return [row(title, items)];
  if (items.length === 0) return [row(title, none)];
  return items.map((item, at) => row(at === 0 ? title : "", show(item)));
}

function row(title: string, text: string): string {
  return `${title.padEnd(13)} ${text}`;
}

function unknown(error: unknown, signal: AbortSignal): string {
  signal.throwIfAborted();
  if (!(error instanceof TaskError)) return `unknown: ${messageOf(error)}`;
  const [why] = error.why?.split("\n") ?? [];
  return `unknown: ${error.what}${why === undefined ? "" : ` (${why})`}`;
}

const command = defineCommand({
  name: "status",
  summary: "Show what there is: template, VMs, cluster, Applications",
  requires: STATUS_REQUIRES,
  uses: STATUS_USES,
  readOnly: true,
  async run(context) {
    const { settings, sandbox, root } = context;
    const { environmentDirectory } = await import("../lib/tofu/index.ts");
    await environmentDirectory(root, settings.ENV);
    const shell = shellFrom(settings);
    const cluster = clusterSession(settings, shell, settings.ENV);
    const status = emptyStatus();
    try {
      await context.steps(statusSteps(settings, cluster, status, sandbox?.dir));
    } finally {
      await cluster.close();
      await shell.close();
    }
    context.result(statusLines(status, sandbox !== undefined).join("\n"), { ...status });
  },
});

await main(import.meta.url, command);
