import * as v from "valibot";
import { nodesAnswer } from "./api/answers.ts";
import type { ProxmoxApi } from "./api/client.ts";
import { nodePath } from "./api/paths.ts";

/** Where VMs can be put: what the token may see of it. */
export interface Places {
  /** Names of all nodes of the cluster. */
  readonly nodes: readonly string[];
  /** Storages of the node that hold disks; undefined when the node is none of the cluster's. */
  readonly storages: readonly string[] | undefined;
  readonly bridges: readonly string[] | undefined;
}

const storagesAnswer = v.array(v.object({ storage: v.string() }));
const bridgesAnswer = v.array(v.object({ iface: v.string() }));

/** The places on a node. @see GET /nodes/{node}/storage and GET /nodes/{node}/network, which list what one may use */
export async function places(api: ProxmoxApi, node: string, signal?: AbortSignal): Promise<Places> {
  const nodes = (await api.get("/nodes", nodesAnswer, {}, signal)).map((each) => each.node);
  if (!nodes.includes(node)) return { nodes, storages: undefined, bridges: undefined };
  const path = nodePath(node);
  const [storages, bridges] = await Promise.all([
    api.get(`${path}/storage`, storagesAnswer, { content: "images", enabled: true }, signal),
    api.get(`${path}/network`, bridgesAnswer, { type: "any_bridge" }, signal),
  ]);
  return {
    nodes,
    storages: storages.map(({ storage }) => storage),
    bridges: bridges.map(({ iface }) => iface),
  };
}
