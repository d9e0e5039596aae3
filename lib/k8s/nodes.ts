import * as v from "valibot";
import type { RunOptions } from "../process.ts";
import type { Kubectl } from "./kubectl.ts";

/** A machine of the cluster. */
export interface KubernetesNode {
  readonly name: string;
  readonly ready: boolean;
  /** "v1.35.6+k3s1" */
  readonly version: string;
}

const nodesSchema = v.object({
  items: v.array(
    v.object({
      metadata: v.object({ name: v.string() }),
      status: v.object({
        conditions: v.optional(v.array(v.object({ type: v.string(), status: v.string() })), []),
        nodeInfo: v.object({ kubeletVersion: v.string() }),
      }),
    }),
  ),
});

/** Every node of the cluster. */
export async function kubernetesNodes(kubectl: Kubectl, options: RunOptions = {}): Promise<KubernetesNode[]> {
  const { items } = await kubectl.get(["nodes"], nodesSchema, options);
  return items.map(({ metadata, status }) => ({
    name: metadata.name,
    ready: status.conditions.some((condition) => condition.type === "Ready" && condition.status === "True"),
    version: status.nodeInfo.kubeletVersion,
  }));
}
