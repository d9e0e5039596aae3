import type { Finding } from "../../../lib/check/index.ts";
import { answering } from "../../../lib/ping.ts";
import type { VmSummary } from "../../../lib/proxmox/index.ts";
import { templateOf } from "../../tf-init.ts";
import { type NodeLook, seen } from "./look.ts";

/** Kept for documents: nobody has it, and where it answers, something in between answers for everybody. @see RFC 5737 */
const NOBODYS = "198.51.100.17";

type Inventory = Awaited<ReturnType<NodeLook["inventory"]>>;

/** Which ISOs there are to install from. */
export async function isoFindings(look: NodeLook, signal: AbortSignal): Promise<Finding[]> {
  const { PM_ISO_STORAGE: storage, ALMA_ISO_URL: wanted } = look.settings;
  const all = await look.ask(signal, async (facts) => await facts.isos(storage));
  const file = wanted?.split("/").at(-1);
  const fitting = all.filter((name) => (file === undefined ? /^AlmaLinux-9/i.test(name) : name === file));
  if (fitting.length > 0) return [seen(`${storage} has ${fitting.join(", ")}`)];
  const what = file ?? "of AlmaLinux 9";
  return [seen(`${storage} has no ISO ${what} yet: build-image sends it there`)];
}

/** Whether the template is there. */
export async function templateFindings(look: NodeLook, signal: AbortSignal): Promise<Finding[]> {
  const name = templateOf(look.settings);
  const all = await look.inventory(signal);
  const templates = all.filter(({ template }) => template);
  const own = templates.filter((each) => each.name === name);
  if (own.length === 1) return [seen(`${name} is VM ${own[0]?.vmid} on ${own[0]?.node}`)];
  if (own.length > 1) {
    return [
      {
        state: "failed",
        evidence: `Several templates are called ${name}: ${listed(own)}`,
        fix: ["Rename or remove all but one; on the node:", "$ qm set VMID --name NAME"],
      },
    ];
  }
  const unfinished = all.filter((each) => !each.template && each.name === name);
  if (unfinished.length > 0) {
    return [
      {
        state: "warning",
        evidence: `${name} is no template yet, but ${listed(unfinished)}: one is being made, or was interrupted`,
        fix: ["See what interrupted runs have left:", "$ npm run leftovers"],
      },
    ];
  }
  const others = templates.length === 0 ? "none that the token may see" : listed(templates);
  return [
    seen(`There is no template ${name} yet; there are ${others}`, [
      "Make it, or name another one with IMAGE_VERSION:",
      "$ npm run build-image",
      "Or of a qcow2 that you have:",
      "$ npm run deploy -- --image FILE",
    ]),
  ];
}

/** Whether the environment's name is free, and which VM number is next. */
export async function vmFindings(look: NodeLook, signal: AbortSignal): Promise<Finding[]> {
  const [{ name }, all, next] = await Promise.all([
    look.declared(),
    look.inventory(signal),
    look.ask(signal, async (facts) => await facts.nextVmid()),
  ]);
  const number = `the next free number is ${next}`;
  if (name === undefined) return [seen(`${look.settings.ENV} has no variable name; ${number}`)];
  const [holder] = all.filter((vm) => !vm.template && vm.name === name);
  if (holder === undefined) {
    return [seen(`${name} is free among the ${all.length} VMs and templates that the token sees; ${number}`)];
  }
  if (isOurs(holder)) return [seen(`${name} is VM ${holder.vmid} of these tasks; ${number}`)];
  return [
    {
      state: "failed",
      evidence: `The name ${name} is taken: VM ${holder.vmid} on ${holder.node} has it, which these tasks have not made`,
      fix: [`Choose another one in terraform/envs/${look.settings.ENV}/terraform.tfvars: name = "…"`],
    },
  ];
}

/** Whether the environment's address is free: by the cluster's own list, and on the network where that is ours. */
export async function addressFindings(look: NodeLook, signal: AbortSignal): Promise<Finding[]> {
  const { ENV: environment, CLUSTER_ACCESS: access } = look.settings;
  const { name, ip = "" } = await look.declared();
  const address = bare(ip);
  if (address === "" || address === "dhcp") return [seen(`${environment} has no address of its own`)];
  const isNear = access === "direct";
  const [all, answers] = await Promise.all([
    look.inventory(signal),
    isNear ? answering([address, NOBODYS], signal) : new Set<string>(),
  ]);
  const fix = [`Choose another one in terraform/envs/${environment}/terraform.tfvars: ip = "…"`];
  const own = all.find((vm) => vm.name === name && isOurs(vm));
  const holder = all.find(
    (vm) => !vm.template && vm !== own && vm.addresses.some((each) => bare(each) === address),
  );
  if (holder !== undefined) {
    const evidence = `${address} is taken: the cluster gives it to VM ${holder.vmid} (${holder.name}, on ${holder.node})`;
    return [{ state: "failed", evidence, fix }];
  }
  if (own?.addresses.some((each) => bare(each) === address)) {
    return [seen(`${address} is that of VM ${own.vmid} (${own.name})`)];
  }
  if (answers.has(address) && !answers.has(NOBODYS)) {
    return [
      {
        state: "failed",
        evidence: `${address} is taken: it answers, though no VM of the cluster is configured with it`,
        fix: [...fix, "Find out whose it is:", `$ ip neigh show ${address}`],
      },
    ];
  }
  const looked = answers.has(NOBODYS)
    ? "which is all that could be looked at: from here every address seems to answer"
    : isNear
      ? "and nothing answers there"
      : "which is all that was looked at: the VMs' network is behind the node";
  return [seen(`${address} is free: no VM of the cluster is configured with it, ${looked}`)];
}

/** The module leaves this in a VM's notes. */
function isOurs({ config }: Inventory[number]): boolean {
  return /^Made from the template \S+ \(\d+\)/.test(config.description ?? "");
}

function listed(vms: readonly VmSummary[]): string {
  return vms.map(({ name, vmid }) => `${name} (${vmid})`).join(", ");
}

function bare(address: string): string {
  return address.split("/")[0] ?? "";
}
