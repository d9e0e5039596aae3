import { parameterError } from "../../calls.ts";
import { resourceOf } from "../../operations/index.ts";
import { allowed, demand } from "../../permissions.ts";
import { answer, type CallContext, guardOf, type RouteTable } from "../route.ts";
import { nodeEntry } from "./nodes.ts";
import { mayAuditStorage } from "./storage.ts";
import { mayListTask } from "./tasks.ts";

const MAC_PREFIX = "BC:24:11";
const LOWEST_VMID = 100;

/** What concerns the cluster, of which the node is the only member. */
export const clusterRoutes: RouteTable = {
  "GET /version": ({ world }) => answer(world.version()),

  "GET /cluster/nextid": ({ world, params }) => {
    const wanted = params.text("vmid");
    if (wanted === undefined) {
      let vmid = LOWEST_VMID;
      while (world.vms.get(vmid) !== undefined) vmid += 1;
      return answer(String(vmid));
    }
    if (world.vms.get(Number(wanted)) !== undefined) {
      throw parameterError({ vmid: `VM ${wanted} already exists` });
    }
    return answer(wanted);
  },

  "GET /cluster/options": ({ world }) => {
    const tags = new Set(world.vms.list().flatMap((vm) => vm.config.tags?.split(";") ?? []));
    return answer({
      description: "",
      keyboard: "en-us",
      mac_prefix: MAC_PREFIX,
      "allowed-tags": [...tags].sort(),
    });
  },

  "GET /cluster/resources": async (call) => {
    const type = call.params.text("type");
    const wants = (kind: string): boolean => type === undefined || type === kind;
    return answer([
      ...(wants("vm") ? vms(call) : []),
      ...(wants("node") ? await nodes(call) : []),
      ...(wants("storage") ? await storages(call) : []),
      ...(wants("sdn") ? zones(call) : []),
    ]);
  },

  "GET /cluster/status": ({ world }) =>
    answer([
      {
        type: "node",
        id: `node/${world.node}`,
        name: world.node,
        nodeid: 0,
        ip: world.bridges[0]?.cidr.split("/")[0] ?? "127.0.0.1",
        online: 1,
        local: 1,
        level: "",
      },
    ]),

  "GET /cluster/tasks": (call) => {
    const tasks = call.world.tasks.list().filter((task) => mayListTask(call, task));
    return answer(
      tasks.map(({ upid, type, id, user, token, starttime, endtime, exitstatus, pid }) => ({
        upid,
        type,
        id,
        user,
        ...(token === undefined ? {} : { tokenid: token }),
        node: call.world.node,
        starttime,
        ...(exitstatus === undefined ? { pid } : { endtime, status: exitstatus, saved: 1 }),
      })),
    );
  },

  "GET /pools": (call) => {
    const pool = call.params.text("poolid");
    if (pool !== undefined) {
      demand(guardOf(call), `/pool/${pool}`, ["Pool.Audit"]);
      throw parameterError({ poolid: `pool '${pool}' does not exist` });
    }
    return answer([]);
  },
};

function vms(call: CallContext): Record<string, unknown>[] {
  const { world } = call;
  return world.vms
    .list()
    .filter((vm) => allowed(guardOf(call), `/vms/${vm.vmid}`, ["VM.Audit"]))
    .map((vm) => resourceOf(world, vm));
}

/** The zone that local bridges belong to, for those who may see it; the right to use it is not enough. */
function zones(call: CallContext): Record<string, unknown>[] {
  const { world } = call;
  const zone = "localnetwork";
  if (!allowed(guardOf(call), `/sdn/zones/${zone}`, ["SDN.Audit"])) return [];
  return [
    {
      id: `network/${world.node}/zone/${zone}`,
      type: "network",
      network: zone,
      "network-type": "zone",
      node: world.node,
      status: "ok",
    },
  ];
}

async function nodes(call: CallContext): Promise<Record<string, unknown>[]> {
  const { ssl_fingerprint: _, ...entry } = await nodeEntry(call);
  return [{ ...entry, "cgroup-mode": 1 }];
}

async function storages(call: CallContext): Promise<Record<string, unknown>[]> {
  const { world } = call;
  const visible = world.storages.list().filter((storage) => mayAuditStorage(call, storage.id));
  return await Promise.all(
    visible.map(async (storage) => {
      const { total, used } = await world.storages.usage(storage);
      return {
        id: `storage/${world.node}/${storage.id}`,
        type: "storage",
        storage: storage.id,
        node: world.node,
        plugintype: storage.type,
        content: storage.content.join(","),
        status: world.storages.isActive(storage) ? "available" : "unknown",
        shared: 0,
        maxdisk: total,
        disk: used,
      };
    }),
  );
}
