import {
  currentStatus,
  demandRunning,
  rebootVm,
  resetVm,
  sendKey,
  shutdownVm,
  startVm,
  stopVm,
  vmOf,
} from "../../operations/index.ts";
import type { Worker } from "../../world/index.ts";
import { answer, type CallContext, type Handler, type RouteTable, startTask } from "../route.ts";

/** Whether a VM runs, and its buttons. */
export const qemuStatusRoutes: RouteTable = {
  "GET /nodes/{node}/qemu/{vmid}/status/current": ({ world, params }) =>
    answer(currentStatus(world, vmOf(world, params.vmid))),

  "PUT /nodes/{node}/qemu/{vmid}/sendkey": async (call) => {
    await sendKey(call, call.params.vmid, call.params.required("key"));
    return answer(null);
  },

  "POST /nodes/{node}/qemu/{vmid}/status/start": worker("qmstart", startVm),

  "POST /nodes/{node}/qemu/{vmid}/status/stop": worker("qmstop", stopVm),

  "POST /nodes/{node}/qemu/{vmid}/status/shutdown": worker("qmshutdown", shutdownVm),

  "POST /nodes/{node}/qemu/{vmid}/status/reboot": (call) => {
    demandRunning(vmOf(call.world, call.params.vmid));
    return worker("qmreboot", rebootVm)(call);
  },

  "POST /nodes/{node}/qemu/{vmid}/status/reset": (call) => {
    demandRunning(vmOf(call.world, call.params.vmid));
    return worker("qmreset", resetVm)(call);
  },
};

/** Whatever is wrong with the VM shows in the task's result, not in the answer to the call. */
function worker(
  type: string,
  operation: (call: CallContext, vmid: number, worker: Worker) => Promise<void>,
): Handler {
  return (call) => {
    const { vmid } = call.params;
    return startTask(call, {
      type,
      id: String(vmid),
      run: async (task) => await operation(call, vmid, task),
    });
  };
}
