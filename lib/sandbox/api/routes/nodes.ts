import { cpus, freemem, loadavg, totalmem } from "node:os";
import { allowed } from "../../permissions.ts";
import type { Bridge, World } from "../../world/index.ts";
import { answer, type CallContext, guardOf, type RouteTable } from "../route.ts";
import { certificateFingerprint } from "./node-facts.ts";

const KERNEL = {
  sysname: "Linux",
  machine: "x86_64",
  release: "homelab-sandbox",
  version: "#1 SMP PREEMPT_DYNAMIC",
};

/** The node itself. */
export const nodeRoutes: RouteTable = {
  "GET /nodes": async (call) => answer([await nodeEntry(call)]),

  "GET /nodes/{node}/status": async ({ world }) => {
    const [first] = cpus();
    const disk = await rootUsage(world);
    const { version, repoid } = world.version();
    return answer({
      pveversion: `pve-manager/${version}/${repoid}`,
      kversion: `${KERNEL.sysname} ${KERNEL.release} ${KERNEL.version}`,
      "current-kernel": KERNEL,
      "boot-info": { mode: "legacy-bios" },
      uptime: uptime(world),
      loadavg: loadavg().map((load) => load.toFixed(2)),
      cpu: 0.02,
      wait: 0,
      idle: 0,
      ksm: { shared: 0 },
      cpuinfo: {
        vendor: "Simulated",
        family: "6",
        flags: world.cpuFlags(),
        model: first?.model ?? "unknown",
        mhz: String(first?.speed ?? 0),
        cpus: world.hardware.cpus,
        cores: world.hardware.cpus,
        sockets: 1,
        hvm: "1",
        user_hz: 100,
      },
      memory: memory(world),
      swap: { total: 0, used: 0, free: 0 },
      rootfs: { total: disk.total, used: disk.used, avail: disk.avail, free: disk.total - disk.used },
    });
  },

  "GET /nodes/{node}/network": (call) => {
    const { world, params } = call;
    const type = params.text("type");
    // Physical cards are no secret; a bridge is shown to those who may use or see its zone.
    const bridges = world.bridges
      .filter(({ name }) =>
        allowed(guardOf(call), `/sdn/zones/localnetwork/${name}`, ["SDN.Audit", "SDN.Use"], "any"),
      )
      .map(bridgeEntry);
    const cards = [CARD];
    if (type === undefined) return answer([...bridges, ...cards]);
    const ofType = /bridge/.test(type) ? bridges : cards.filter((card) => card.type === type);
    return answer(ofType);
  },
};

const CARD = {
  iface: "eth0",
  type: "eth",
  method: "manual",
  method6: "manual",
  active: 1,
  exists: 1,
  priority: 3,
  families: ["inet"],
};

function bridgeEntry({ name, cidr, gateway }: Bridge): Record<string, unknown> {
  const [address, netmask] = cidr.split("/");
  return {
    iface: name,
    type: "bridge",
    method: "static",
    method6: "manual",
    address,
    netmask,
    cidr,
    gateway,
    bridge_ports: CARD.iface,
    bridge_stp: "off",
    bridge_fd: "0",
    autostart: 1,
    active: 1,
    priority: 4,
    families: ["inet"],
  };
}

/** The node as lists show it; figures are for those who may audit it. */
export async function nodeEntry(call: CallContext): Promise<Record<string, unknown>> {
  const { world } = call;
  const entry = {
    id: `node/${world.node}`,
    type: "node",
    node: world.node,
    status: "online",
    level: "",
    ssl_fingerprint: certificateFingerprint(world),
  };
  if (!allowed(guardOf(call), `/nodes/${world.node}`, ["Sys.Audit"])) return entry;
  const disk = await rootUsage(world);
  return {
    ...entry,
    uptime: uptime(world),
    cpu: 0.02,
    maxcpu: world.hardware.cpus,
    mem: memory(world).used,
    maxmem: world.hardware.memory,
    disk: disk.used,
    maxdisk: disk.total,
  };
}

async function rootUsage(world: World): Promise<{ total: number; used: number; avail: number }> {
  const [first] = world.storages.list();
  if (first === undefined) return { total: 0, used: 0, avail: 0 };
  return await world.storages.usage(first);
}

function memory(world: World): { total: number; used: number; free: number; available: number } {
  const used = totalmem() - freemem();
  const free = Math.max(0, world.hardware.memory - used);
  return { total: world.hardware.memory, used, free, available: free };
}

function uptime(world: World): number {
  return Math.floor((Date.now() - world.bootedAt) / 1000);
}
