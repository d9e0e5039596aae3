import { optionSchema, parseDiskSize, parsePropertyString } from "../schema/index.ts";
import { isTemplate, nameOf, type Vm, type VmConfig, type World } from "../world/index.ts";
import { bootDisk } from "./boot-order.ts";
import { withPending } from "./context.ts";
import { parseDrive } from "./drives.ts";
import { isNicKey } from "./network.ts";

type Fields = Record<string, unknown>;

const MIB = 1024 ** 2;
const DEFAULT_MEMORY_MIB = 512;
/** What a booted guest of ours uses of its memory, for figures that somebody may look at. */
const USED_SHARE = 0.4;
const IDLE_LOAD = 0.02;

/** Virtual CPUs that a VM asks for. */
export function vcpusOf(config: VmConfig): number {
  return Number(config.vcpus ?? Number(config.cores ?? 1) * Number(config.sockets ?? 1));
}

/** Bytes of memory that a VM asks for. */
export function memoryOf(config: VmConfig): number {
  const memory = config.memory?.replace(/^current=/, "") ?? DEFAULT_MEMORY_MIB;
  return Number(memory) * MIB;
}

/** Whether the configuration says that the guest has an agent. */
export function agentEnabled(config: VmConfig): boolean {
  const format = optionSchema("agent")?.format;
  if (config.agent === undefined || typeof format !== "object") return false;
  return parsePropertyString(config.agent, format, "agent").enabled === "1";
}

/** A VM as `GET /nodes/N/qemu` lists it. */
export function listedVm(world: World, vm: Vm): Fields {
  const config = withPending(vm);
  const { running } = vm;
  const used = running === undefined ? 0 : Math.round(memoryOf(vm.config) * USED_SHARE);
  return {
    vmid: vm.vmid,
    name: nameOf(vm),
    status: running === undefined ? "stopped" : "running",
    cpus: Math.min(vcpusOf(config), world.hardware.cpus),
    cpu: running === undefined ? 0 : IDLE_LOAD,
    maxmem: memoryOf(config),
    mem: used,
    memhost: used,
    maxdisk: bootDiskSize(config),
    disk: 0,
    netin: 0,
    netout: 0,
    uptime: running === undefined ? 0 : Math.floor((Date.now() - running.since) / 1000),
    ...(isTemplate(vm) ? { template: 1 } : {}),
    ...(config.tags === undefined ? {} : { tags: config.tags }),
    ...(config.lock === undefined ? {} : { lock: config.lock }),
    ...(Object.keys(config).some((key) => /^serial\d$/.test(key)) ? { serial: 1 } : {}),
    ...(running === undefined ? {} : { pid: running.pid, ...PRESSURE }),
  };
}

const PRESSURE: Fields = {
  pressurecpusome: 0,
  pressurecpufull: 0,
  pressureiosome: 0,
  pressureiofull: 0,
  pressurememorysome: 0,
  pressurememoryfull: 0,
};

/** The same with what costs a real node more to find out. */
export function fullStatus(world: World, vm: Vm): Fields {
  return {
    ...listedVm(world, vm),
    qmpstatus: vm.running === undefined ? "stopped" : "running",
    ...(vm.running === undefined ? {} : { nics: nicsOf(vm) }),
  };
}

/** A VM as `GET …/status/current` shows it. */
export function currentStatus(world: World, vm: Vm): Fields {
  const config = withPending(vm);
  return {
    ...fullStatus(world, vm),
    ha: { managed: 0 },
    ...(agentEnabled(config) ? { agent: 1 } : {}),
    ...(config.vga === undefined ? {} : { clipboard: null }),
  };
}

/** A VM as `GET /cluster/resources` shows it, once the node's statistics have seen it. */
export function resourceOf(world: World, vm: Vm): Fields {
  const listed = listedVm(world, vm);
  const identity = { id: `qemu/${vm.vmid}`, type: "qemu", vmid: vm.vmid, node: world.node };
  const tags = listed.tags === undefined ? {} : { tags: listed.tags };
  if (!world.statistics.knows(vm.vmid)) return { ...identity, ...tags, status: "unknown" };
  return {
    ...identity,
    ...tags,
    ...(listed.lock === undefined ? {} : { lock: listed.lock }),
    name: listed.name,
    status: listed.status,
    template: isTemplate(vm) ? 1 : 0,
    maxcpu: listed.cpus,
    cpu: listed.cpu,
    maxmem: listed.maxmem,
    mem: listed.mem,
    memhost: listed.memhost,
    maxdisk: listed.maxdisk,
    disk: 0,
    diskread: 0,
    diskwrite: 0,
    netin: 0,
    netout: 0,
    uptime: listed.uptime,
  };
}

function bootDiskSize(config: VmConfig): number {
  const key = bootDisk(config);
  return key === undefined ? 0 : (parseDiskSize(parseDrive(key, config[key] ?? "").size ?? "") ?? 0);
}

function nicsOf(vm: Vm): Fields {
  const keys = Object.keys(vm.config).filter(isNicKey).sort();
  return Object.fromEntries(keys.map((key) => [`tap${vm.vmid}i${key.slice(3)}`, { netin: 0, netout: 0 }]));
}
