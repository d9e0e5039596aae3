import type { SettingName, Settings } from "../lib/config/index.ts";
import type { ClusterSession } from "../lib/k8s/index.ts";
import { apiFrom, shellFrom } from "../lib/proxmox/index.ts";
import { defineCommand, main, type Step, sameRun } from "../lib/task/index.ts";
import { CLUSTER_USES, clusterSession } from "./kubeconfig.ts";
import { emptyStatus, lookSteps, type Part, type Status } from "./status/look.ts";
import { statusLines } from "./status/screen.ts";
import { ENVIRONMENT_REQUIRES, ENVIRONMENT_USES, templateOf } from "./tf-init.ts";

export const STATUS_REQUIRES = ENVIRONMENT_REQUIRES;
export const STATUS_USES = [...ENVIRONMENT_USES, ...CLUSTER_USES] as const satisfies readonly SettingName[];
type StatusSettings = Settings<(typeof STATUS_REQUIRES)[number], (typeof STATUS_USES)[number]>;

/** A status to be filled by `statusSteps`. */
export function statusOf(settings: StatusSettings): Status {
  return emptyStatus(templateOf(settings));
}

/** Look at everything at once; a part that cannot be read does not hide the others. */
export function statusSteps(
  settings: StatusSettings,
  cluster: ClusterSession,
  status: Status,
  sandboxDir?: string,
): Step[] {
  return lookSteps(apiFrom(settings), cluster, status, sandboxDir);
}

/** For machines: null where there is none; a part that cannot be read is left out, and `unknown` tells of it. */
export function statusData({ image, vms, nodes, argocd, applications }: Status): Record<string, unknown> {
  const parts: Readonly<Record<string, Part<unknown>>> = { image, vms, nodes, argocd, applications };
  const data: Record<string, unknown> = {};
  const unknown: Record<string, unknown> = {};
  for (const [name, part] of Object.entries(parts)) {
    if ("value" in part) data[name] = part.value ?? null;
    else unknown[name] = part.unknown;
  }
  return { ...data, unknown };
}

const command = defineCommand({
  name: "status",
  summary: "Show what there is on one screen: image, VMs, cluster, Argo CD and its Applications",
  requires: STATUS_REQUIRES,
  uses: STATUS_USES,
  readOnly: true,
  async run(context) {
    const { settings, sandbox, root } = context;
    const { environmentDirectory } = await import("../lib/tofu/index.ts");
    await environmentDirectory(root, settings.ENV);
    const shell = shellFrom(settings);
    const cluster = clusterSession(settings, shell, settings.ENV);
    const status = statusOf(settings);
    try {
      await context.steps(statusSteps(settings, cluster, status, sandbox?.dir));
    } finally {
      await cluster.close();
      await shell.close();
    }
    const lines = statusLines(status, {
      simulated: sandbox !== undefined,
      width: process.stdout.columns,
      color: process.stdout.isTTY && process.stdout.hasColors(),
      sameRun: (todo) => sameRun(todo, context.flags),
    });
    context.result(lines.join("\n"), statusData(status));
  },
});

await main(import.meta.url, command);
