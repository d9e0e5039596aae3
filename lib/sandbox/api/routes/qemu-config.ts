import { failure } from "../../calls.ts";
import {
  type CloudInitPart,
  type ConfigChange,
  checkChange,
  cloudInitOptions,
  cloudInitPart,
  presentConfig,
  presentPending,
  updateConfig,
  vmOf,
} from "../../operations/index.ts";
import { answer, type CallContext, type RouteTable, startTask } from "../route.ts";
import { optionsIn } from "./qemu.ts";

/** A VM's configuration and what is generated from it. */
export const qemuConfigRoutes: RouteTable = {
  "GET /nodes/{node}/qemu/{vmid}/config": ({ world, params }) =>
    answer(presentConfig(world, vmOf(world, params.vmid), params.flag("current"))),

  "PUT /nodes/{node}/qemu/{vmid}/config": async (call) => {
    const change = changeIn(call);
    checkChange(call, call.params.vmid, change);
    await updateConfig(call, call.params.vmid, change, call.onLog);
    return answer(null);
  },

  "POST /nodes/{node}/qemu/{vmid}/config": (call) => {
    const { vmid } = call.params;
    const change = changeIn(call);
    checkChange(call, vmid, change);
    vmOf(call.world, vmid);
    return startTask(call, {
      type: "qmconfig",
      id: String(vmid),
      run: async (worker) => await updateConfig(call, vmid, change, worker.log),
    });
  },

  "GET /nodes/{node}/qemu/{vmid}/pending": ({ world, params }) =>
    answer(presentPending(world, vmOf(world, params.vmid))),

  "PUT /nodes/{node}/qemu/{vmid}/unlink": async (call) => {
    const { params } = call;
    const change: ConfigChange = {
      options: {},
      deletions: listIn(params.required("idlist")),
      reverts: [],
      digest: undefined,
      skiplock: false,
    };
    checkChange(call, params.vmid, change);
    await updateConfig(call, params.vmid, change, call.onLog);
    return answer(null);
  },

  "GET /nodes/{node}/qemu/{vmid}/cloudinit": ({ world, params }) =>
    answer(cloudInitOptions(vmOf(world, params.vmid))),

  "PUT /nodes/{node}/qemu/{vmid}/cloudinit": ({ world, params, onLog }) => {
    vmOf(world, params.vmid);
    onLog("generating cloud-init ISO");
    return answer(null);
  },

  "GET /nodes/{node}/qemu/{vmid}/cloudinit/dump": ({ world, params }) =>
    answer(cloudInitPart(vmOf(world, params.vmid), params.required("type") as CloudInitPart)),

  "GET /nodes/{node}/qemu/{vmid}/snapshot": ({ world, params }) => {
    const vm = vmOf(world, params.vmid);
    const current = {
      name: "current",
      description: "You are here!",
      digest: world.vms.digest(vm),
      running: vm.running === undefined ? 0 : 1,
    };
    return answer([current]);
  },

  "GET /nodes/{node}/qemu/{vmid}/feature": ({ world, params }) => {
    vmOf(world, params.vmid);
    if (params.text("snapname") !== undefined) {
      throw failure(`snapshot '${params.text("snapname")}' does not exist`);
    }
    return answer({ hasFeature: 1, nodes: [world.node] });
  },
};

function changeIn(call: CallContext): ConfigChange {
  const { params } = call;
  return {
    options: optionsIn(call),
    deletions: listIn(params.text("delete")),
    reverts: listIn(params.text("revert")),
    digest: params.text("digest"),
    skiplock: params.flag("skiplock"),
  };
}

function listIn(text: string | undefined): string[] {
  return (text ?? "").split(/[,;\s\0]+/).filter((item) => item !== "");
}
