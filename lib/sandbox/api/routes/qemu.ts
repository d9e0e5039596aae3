import {
  type ConfigChange,
  checkCreate,
  checkDestroy,
  checkMove,
  checkTemplate,
  clone,
  create,
  destroyVm,
  fullStatus,
  listedVm,
  makeTemplate,
  moveDisk,
  planClone,
  reserve,
  resizeDisk,
  startVm,
  vmOf,
} from "../../operations/index.ts";
import { allowed } from "../../permissions.ts";
import { isVmOption } from "../../schema/index.ts";
import { answer, type CallContext, guardOf, type RouteTable, startTask } from "../route.ts";

/** Sub-resources of a VM, as its index names them. */
const SUBDIRS = [
  "config",
  "cloudinit",
  "pending",
  "status",
  "unlink",
  "vncproxy",
  "termproxy",
  "migrate",
  "resize",
  "move",
  "rrd",
  "rrddata",
  "monitor",
  "agent",
  "snapshot",
  "spiceproxy",
  "sendkey",
  "firewall",
  "mtunnel",
  "remote_migrate",
];

/** VMs as a whole: list, make, clone, templates, disks, destroy. */
export const qemuRoutes: RouteTable = {
  "GET /nodes/{node}/qemu": (call) => {
    const { world, params } = call;
    const show = params.flag("full") ? fullStatus : listedVm;
    const visible = world.vms.list().filter((vm) => allowed(guardOf(call), `/vms/${vm.vmid}`, ["VM.Audit"]));
    return answer(visible.map((vm) => show(world, vm)));
  },

  "POST /nodes/{node}/qemu": (call) => {
    const { vmid } = call.params;
    const options = optionsIn(call);
    checkCreate(call, vmid, options);
    reserve(call, vmid);
    return startTask(call, {
      type: "qmcreate",
      id: String(vmid),
      run: async (worker) => {
        await create(call, vmid, options, worker);
        if (!call.params.flag("start")) return;
        worker.log("Execute autostart");
        startTask(call, {
          type: "qmstart",
          id: String(vmid),
          run: async (starter) => await startVm(call, vmid, starter),
        });
      },
    });
  },

  "GET /nodes/{node}/qemu/{vmid}": ({ world, params }) => {
    vmOf(world, params.vmid);
    return answer(SUBDIRS.map((subdir) => ({ subdir })));
  },

  "DELETE /nodes/{node}/qemu/{vmid}": (call) => {
    const { params } = call;
    checkDestroy(call, params.vmid);
    const options = {
      purge: params.flag("purge"),
      unreferenced: params.flag("destroy-unreferenced-disks"),
    };
    return startTask(call, {
      type: "qmdestroy",
      id: String(params.vmid),
      run: async (worker) => await destroyVm(call, params.vmid, options, worker),
    });
  },

  "POST /nodes/{node}/qemu/{vmid}/clone": (call) => {
    const { params } = call;
    const plan = planClone(call, {
      vmid: params.vmid,
      newid: Number(params.required("newid")),
      name: params.text("name"),
      description: params.text("description"),
      full: params.text("full") === undefined ? undefined : params.flag("full"),
      storage: params.text("storage"),
      format: params.text("format"),
      target: params.text("target"),
    });
    return startTask(call, {
      type: "qmclone",
      id: String(params.vmid),
      run: async (worker) => await clone(call, plan, worker),
    });
  },

  "POST /nodes/{node}/qemu/{vmid}/template": (call) => {
    const { vmid } = call.params;
    checkTemplate(call, vmid);
    return startTask(call, {
      type: "qmtemplate",
      id: String(vmid),
      run: async (worker) => await makeTemplate(call, vmid, worker),
    });
  },

  "PUT /nodes/{node}/qemu/{vmid}/resize": (call) => {
    const { params } = call;
    const request = {
      disk: params.required("disk"),
      size: params.required("size"),
      digest: params.text("digest"),
    };
    return startTask(call, {
      type: "resize",
      id: String(params.vmid),
      run: async (worker) => await resizeDisk(call, params.vmid, request, worker),
    });
  },

  "POST /nodes/{node}/qemu/{vmid}/move_disk": async (call) => {
    const { params } = call;
    const disk = params.required("disk");
    const request = {
      disk,
      storage: params.text("storage") ?? "",
      format: params.text("format"),
      delete: params.flag("delete"),
    };
    await checkMove(call, params.vmid, request);
    return startTask(call, {
      type: "qmmove",
      id: String(params.vmid),
      run: async (worker) => await moveDisk(call, params.vmid, request, worker),
    });
  },
};

/** The options of a VM among a call's parameters. */
export function optionsIn({ params }: CallContext): ConfigChange["options"] {
  return Object.fromEntries(Object.entries(params.values).filter(([name]) => isVmOption(name)));
}
