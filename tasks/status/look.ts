import { messageOf, TaskError } from "../../lib/errors.ts";
import {
  type Application,
  type ArgoInstallation,
  applications,
  type ClusterSession,
  findArgo,
  type KubernetesNode,
  kubernetesNodes,
} from "../../lib/k8s/index.ts";
import {
  type ImageMetadata,
  listVms,
  type ProxmoxApi,
  parseNotes,
  type VmSummary,
  vmDetails,
} from "../../lib/proxmox/index.ts";
import { syncingArgo } from "../../lib/sandbox/index.ts";
import type { Step } from "../../lib/task/index.ts";

/** A part that cannot be told: why, and what to do. */
export interface Unknown {
  readonly what: string;
  readonly why: string | undefined;
  readonly todo: readonly string[];
}

/** A part of the status, or why it is not known. */
export type Part<Value> = { readonly value: Value } | { readonly unknown: Unknown };

/** The template that VMs are made from; undefined when there is none of its name. */
export interface Image extends VmSummary {
  /** From its notes; undefined when somebody has changed them. */
  readonly metadata: ImageMetadata | undefined;
}

export interface Vm extends VmSummary {
  /** What cloud-init gives it. */
  readonly addresses: readonly string[];
}

export interface Argo extends ArgoInstallation {
  /** In the sandbox: the version of its controllers that really run; undefined where they are simulated as well. */
  readonly controllers?: string | undefined;
}

/** What there is. */
export interface Status {
  readonly imageName: string;
  image: Part<Image | undefined>;
  /** VMs of the environments here. */
  vms: Part<readonly Vm[]>;
  nodes: Part<readonly KubernetesNode[]>;
  argocd: Part<Argo | undefined>;
  applications: Part<readonly Application[]>;
}

const NOT_LOOKED: { readonly unknown: Unknown } = {
  unknown: { what: "It was not looked at", why: undefined, todo: [] },
};

/** A status of which nothing is known yet. */
export function emptyStatus(imageName: string): Status {
  return {
    imageName,
    image: NOT_LOOKED,
    vms: NOT_LOOKED,
    nodes: NOT_LOOKED,
    argocd: NOT_LOOKED,
    applications: NOT_LOOKED,
  };
}

/**
 * Look at everything at once; a part that cannot be read does not hide the others.
 * @param sandboxDir where the sandbox keeps its state, when it is one
 */
export function lookSteps(
  api: ProxmoxApi,
  cluster: ClusterSession,
  status: Status,
  sandboxDir: string | undefined,
): Step[] {
  return [
    {
      title: "Look at the node and the cluster",
      parallel: true,
      run: async () => [
        {
          title: "Image and VMs",
          run: async ({ signal }) => {
            const all = part(async () => await listVms(api, signal), signal);
            await Promise.all([
              set(
                status,
                "image",
                part(async () => await imageIn(known(await all), status, api, signal), signal),
              ),
              set(
                status,
                "vms",
                part(async () => await vmsIn(known(await all), api, signal), signal),
              ),
            ]);
            await api.close();
          },
        },
        {
          title: "Cluster and Applications",
          run: async ({ signal }) => {
            const kubectl = part(async () => await cluster.kubectl(signal), signal);
            const argo = part(async () => {
              const found = await findArgo(known(await kubectl), { signal });
              if (found === undefined || sandboxDir === undefined) return found;
              return { ...found, controllers: await syncingArgo(sandboxDir) };
            }, signal);
            await Promise.all([
              set(
                status,
                "nodes",
                part(async () => await kubernetesNodes(known(await kubectl), { signal }), signal),
              ),
              set(status, "argocd", argo),
              set(
                status,
                "applications",
                part(async () => {
                  if (known(await argo) === undefined) return [];
                  return await applications(known(await kubectl), { signal });
                }, signal),
              ),
            ]);
          },
        },
      ],
    },
  ];
}

async function imageIn(
  all: readonly VmSummary[],
  { imageName }: Status,
  api: ProxmoxApi,
  signal: AbortSignal,
): Promise<Image | undefined> {
  const template = all.find(({ template, name }) => template && name === imageName);
  if (template === undefined) return undefined;
  const { config } = await vmDetails(api, template, signal);
  return { ...template, metadata: parseNotes(config.description ?? "") };
}

/** A node may have many VMs: those that the module made carry its tag. */
async function vmsIn(all: readonly VmSummary[], api: ProxmoxApi, signal: AbortSignal): Promise<Vm[]> {
  const ours = all.filter(({ template, tags }) => !template && tags.includes("homelab"));
  return await Promise.all(
    ours.map(async (vm) => {
      const { addresses } = await vmDetails(api, vm, signal);
      return { ...vm, addresses };
    }),
  );
}

class UnknownPart extends Error {
  readonly unknown: Unknown;

  constructor(unknown: Unknown) {
    super(unknown.what);
    this.unknown = unknown;
  }
}

/** What a part depends on. @throws {UnknownPart} as unknown as that is */
function known<Value>(of: Part<Value>): Value {
  if ("unknown" in of) throw new UnknownPart(of.unknown);
  return of.value;
}

async function part<Value>(read: () => Promise<Value>, signal: AbortSignal): Promise<Part<Value>> {
  try {
    return { value: await read() };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof UnknownPart) return { unknown: error.unknown };
    if (!(error instanceof TaskError)) {
      return { unknown: { what: "It cannot be read", why: messageOf(error), todo: [] } };
    }
    const { what, why, todo } = error;
    return { unknown: { what, why, todo } };
  }
}

async function set<Name extends "image" | "vms" | "nodes" | "argocd" | "applications">(
  status: Status,
  name: Name,
  found: Promise<Status[Name]>,
): Promise<void> {
  status[name] = await found;
}
