import { TaskError } from "../errors.ts";
import {
  configAnswer,
  nodesAnswer,
  statusAnswer,
  tasksAnswer,
  versionAnswer,
  vmsAnswer,
} from "./api/answers.ts";
import type { ProxmoxApi } from "./api/client.ts";
import { nodePath, vmPath } from "./api/paths.ts";

/** A VM or template of the cluster. */
export interface VmSummary {
  readonly vmid: number;
  readonly name: string;
  readonly node: string;
  readonly template: boolean;
  readonly status: string;
  readonly tags: readonly string[];
}

/** A VM with what its configuration says of its addresses and disks. */
export interface VmDetails extends VmSummary {
  readonly config: Readonly<Record<string, string>>;
  /** Addresses that cloud-init gives it, as ipconfigN has them. */
  readonly addresses: readonly string[];
  /** Sizes of its disks in gigabytes, by slot. */
  readonly disks: Readonly<Record<string, number>>;
}

/** The node's version, for example "9.2.11". */
export async function version(api: ProxmoxApi, signal?: AbortSignal): Promise<string> {
  return (await api.get("/version", versionAnswer, {}, signal)).version;
}

/**
 * Every VM and template the token may see. Without VM.Audit the list is simply empty.
 * @see /cluster/resources names a fresh clone late, so each node is asked for its own
 */
export async function listVms(api: ProxmoxApi, signal?: AbortSignal): Promise<VmSummary[]> {
  const nodes = await api.get("/nodes", nodesAnswer, {}, signal);
  const online = nodes.filter(({ status }) => status === "online");
  const lists = await Promise.all(
    online.map(async ({ node }) => {
      const vms = await api.get(`${nodePath(node)}/qemu`, vmsAnswer, {}, signal);
      return vms.map(({ vmid, name, template, status, tags }) => ({
        vmid,
        name: name ?? `VM ${vmid}`,
        node,
        template,
        status,
        tags: tags.split(/[;, ]/).filter((tag) => tag !== ""),
      }));
    }),
  );
  return lists.flat().sort((a, b) => a.vmid - b.vmid);
}

/**
 * When a VM was created, to the second: Proxmox writes it into every VM, and copies it into every clone. Nobody can set it.
 * @returns undefined for a VM that is older than that
 */
export function createdAt({ config }: Pick<VmDetails, "config">): Date | undefined {
  const [, seconds] = /(?:^|,)ctime=(\d+)/.exec(config.meta ?? "") ?? [];
  return seconds === undefined ? undefined : new Date(Number(seconds) * 1000);
}

/** A VM's configuration and what follows from it. */
export async function vmDetails(api: ProxmoxApi, vm: VmSummary, signal?: AbortSignal): Promise<VmDetails> {
  const path = `${vmPath(vm)}/config`;
  const config = await api.get(path, configAnswer, {}, signal);
  const of = (form: RegExp): [string, string][] => Object.entries(config).filter(([key]) => form.test(key));
  return {
    ...vm,
    config,
    addresses: of(/^ipconfig\d+$/).flatMap(
      ([, value]) => /(?:^|,)ip=([\d.]+(?:\/\d+)?)/.exec(value)?.[1] ?? [],
    ),
    disks: Object.fromEntries(
      of(/^(scsi|virtio|sata|ide)\d+$/).flatMap(([slot, value]) => {
        const size = gigabytes(/(?:^|,)size=(\d+(?:\.\d+)?[KMGT]?)/.exec(value)?.[1]);
        return size === undefined || /media=cdrom/.test(value) ? [] : [[slot, size]];
      }),
    ),
  };
}

/** Everything about every VM; a VM that goes away while we look is left out. */
export async function inventory(api: ProxmoxApi, signal?: AbortSignal): Promise<VmDetails[]> {
  const vms = await listVms(api, signal);
  const details = await Promise.all(
    vms.map((vm) =>
      vmDetails(api, vm, signal).catch((error: unknown) => {
        signal?.throwIfAborted();
        if (error instanceof TaskError && /does not exist/.test(error.why ?? "")) return undefined;
        throw error;
      }),
    ),
  );
  return details.filter((vm) => vm !== undefined);
}

/** The template of a name, if there is one. */
export async function findTemplate(
  api: ProxmoxApi,
  name: string,
  signal?: AbortSignal,
): Promise<VmSummary | undefined> {
  return (await listVms(api, signal)).find((vm) => vm.template && vm.name === name);
}

/** Whether the node clones something now, as far as the token may see; its own clones it does. */
export async function isCloning(api: ProxmoxApi, node: string, signal?: AbortSignal): Promise<boolean> {
  const path = `${nodePath(node)}/tasks`;
  const tasks = await api.get(path, tasksAnswer, { source: "active", typefilter: "qmclone" }, signal);
  return tasks.length > 0;
}

/** The state of a VM: "running" or "stopped". */
export async function vmStatus(
  api: ProxmoxApi,
  vm: Pick<VmSummary, "node" | "vmid">,
  signal?: AbortSignal,
): Promise<string> {
  const path = `${vmPath(vm)}/status/current`;
  return (await api.get(path, statusAnswer, {}, signal)).status;
}

/**
 * Shut a VM down, by force when the guest does not listen.
 * @returns what starts it again, or undefined when it was off
 */
export async function shutDown(
  api: ProxmoxApi,
  vm: Pick<VmSummary, "node" | "vmid">,
  signal?: AbortSignal,
): Promise<(() => Promise<void>) | undefined> {
  if ((await vmStatus(api, vm, signal)) !== "running") return undefined;
  const path = `${vmPath(vm)}/status`;
  await api.runTask(
    "POST",
    `${path}/shutdown`,
    { timeout: 120, forceStop: true },
    { ...(signal ? { signal } : {}) },
  );
  return async () => await api.runTask("POST", `${path}/start`, {});
}

function gigabytes(text: string | undefined): number | undefined {
  const [, amount, unit = "G"] = /^(\d+(?:\.\d+)?)([KMGT])?$/.exec(text ?? "") ?? [];
  if (amount === undefined) return undefined;
  return Number(amount) * ({ K: 1 / 1024 ** 2, M: 1 / 1024, G: 1, T: 1024 }[unit] ?? 1);
}
