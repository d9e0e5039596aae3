import { TaskError } from "../errors.ts";
import { reasonOf, titleOf } from "./describe.ts";
import type { Plan, PlannedChange, PlannedVm } from "./plan.ts";

/** A VM or template of the cluster, as the checks before an apply need it. */
export interface Guest {
  readonly vmid: number;
  readonly name: string;
  readonly node: string;
  readonly template: boolean;
  /** Addresses that cloud-init gives it, with or without prefix length. */
  readonly addresses: readonly string[];
  /** Sizes of its disks in gigabytes, by slot ("scsi0"). */
  readonly disks?: Readonly<Record<string, number>>;
  /** Its options as the node has them: notes, lock. */
  readonly config?: Readonly<Record<string, string>>;
}

/** The VMs that a plan replaces or removes: what is on their disks is lost. */
export function lossesIn(plan: Plan): PlannedChange[] {
  return plan.changes.filter(({ action }) => action === "replace" || action === "delete");
}

/**
 * Replacing or removing a VM is never an accident: each one has to be named.
 * @param allowed names from --allow-replace
 * @param again the command as it was, to which the flag can be added
 * @throws {TaskError} naming the VMs that would be lost, and why
 */
export function refuseLosses(plan: Plan, allowed: readonly string[], again: string): void {
  const refused = lossesIn(plan).filter((change) => !allowed.includes(nameOf(change)));
  if (refused.length === 0) return;
  throw new TaskError({
    what: `The plan would ${verbs(refused)} ${refused.map(titleOf).join(", ")}: refused`,
    why: refused
      .map((change) => {
        const verb = change.action === "replace" ? "be replaced by a new, empty one" : "be destroyed";
        const reason = reasonOf(change);
        return `${titleOf(change)} would ${verb}, with all that is on its disk${reason ? `: ${reason}` : ""}`;
      })
      .join("\n"),
    todo: [
      "Undo the change that leads to it; terraform/modules/proxmox-vm/README.md lists what each change does to a VM",
      "Or, when the VM may go:",
      `$ ${again} ${refused.map((change) => `--allow-replace ${nameOf(change)}`).join(" ")}`,
    ],
    left: ["Nothing was changed"],
  });
}

/**
 * Disks cannot shrink: the provider notices only when it has changed the rest already.
 * @throws {TaskError} naming the disk and both sizes
 */
export function refuseShrinking(plan: Plan, guests: readonly Guest[]): void {
  for (const change of plan.changes) {
    const { action, before, after } = change;
    if (after === undefined || (action !== "update" && action !== "create" && action !== "replace")) continue;
    const template = guests.find(({ vmid }) => vmid === after.templateId);
    for (const { slot, gigabytes } of after.disks) {
      const now = action === "update" ? sizeOf(before, slot) : template?.disks?.[slot];
      if (gigabytes === undefined || now === undefined || gigabytes >= now) continue;
      throw new TaskError({
        what: `The disk ${slot} of VM ${after.name} cannot shrink to ${gigabytes} GB`,
        why:
          action === "update"
            ? `It has ${now} GB, and Proxmox can only grow disks`
            : `The template ${template?.name} has ${now} GB already, and Proxmox can only grow disks`,
        todo: [`Set disk_size to ${Math.ceil(now)}G or more`],
        left: ["Nothing was changed"],
      });
    }
  }
}

/** What a node has, as far as the token may see it; undefined where that is not known. */
export interface NodePlaces {
  readonly storages: readonly string[] | undefined;
  readonly bridges: readonly string[] | undefined;
}

/**
 * A storage or a bridge that does not exist is noticed by the node only when the VM is half made.
 * @param placesOf what the node of that name has
 * @throws {TaskError} naming what is missing and what there is
 */
export async function refuseMissingPlaces(
  plan: Plan,
  placesOf: (node: string) => Promise<NodePlaces>,
): Promise<void> {
  for (const { after } of plan.changes) {
    if (after === undefined) continue;
    const { storages, bridges } = await placesOf(after.node);
    const wanted = [
      ...after.disks.map(({ storage }) => ["storage", storage, storages, "PM_STORAGE"] as const),
      ...after.bridges.map((bridge) => ["bridge", bridge, bridges, "PM_BRIDGE"] as const),
    ];
    for (const [kind, name, there, setting] of wanted) {
      if (name === undefined || there === undefined || there.includes(name)) continue;
      const needed =
        kind === "bridge"
          ? `SDN.Use on /sdn/zones/localnetwork/${name}`
          : `Datastore.AllocateSpace and Datastore.Audit on /storage/${name}`;
      throw new TaskError({
        what: `VM ${after.name} cannot be made: node ${after.node} has no ${kind} ${name}`,
        why: `It has ${there.join(", ") || `no ${kind} that the token may use`}`,
        todo: [
          `Set ${setting} to one of them`,
          `If it is there, the token may not use it: give it ${needed}, or let pve-init do so:`,
          "$ npm run pve-init",
        ],
        left: ["Nothing was changed"],
      });
    }
  }
}

/** Whether something in the plan makes, renames or readdresses a VM, so that other guests matter. */
export function needsGuests(plan: Plan): boolean {
  return plan.changes.some(({ action, after }) => after !== undefined && action !== "none");
}

/**
 * A name and an address belong to one VM alone.
 * @param guests every VM and template of the cluster
 * @param answers addresses (without prefix length) that answer on the network
 * @throws {TaskError} naming the VM that has the name or the address
 */
export function refuseConflicts(
  plan: Plan,
  guests: readonly Guest[],
  answers: ReadonlySet<string> = new Set(),
): void {
  const own = new Set(plan.resources.flatMap(({ before }) => before?.vmid ?? []));
  const others = guests.filter(({ vmid, template }) => !template && !own.has(vmid));
  for (const change of plan.changes) {
    const { after } = change;
    if (after === undefined) continue;
    const namesake = others.find(({ name }) => name === after.name);
    if (namesake !== undefined) {
      throw conflict(after, `the name ${after.name}`, namesake, [
        `Choose another name in terraform/globals.tfvars: name = "…"`,
        `Or, when VM ${namesake.vmid} is left over and nobody needs it, on the node ${namesake.node}:`,
        `$ qm stop ${namesake.vmid}; qm destroy ${namesake.vmid} --purge`,
      ]);
    }
    for (const address of after.addresses.map(bare)) {
      const holder = others.find(({ addresses }) => addresses.some((each) => bare(each) === address));
      if (holder !== undefined) {
        throw conflict(after, `the address ${address}`, holder, [
          `Choose another address in terraform/globals.tfvars: ip = "…"`,
        ]);
      }
      if (answers.has(address) && !(change.before?.addresses ?? []).map(bare).includes(address)) {
        throw new TaskError({
          what: `VM ${after.name} cannot have the address ${address}: something answers there`,
          why: "No VM of this cluster is configured with it, so it is another machine (or a guest that configures itself)",
          todo: [
            `Choose another address in terraform/globals.tfvars: ip = "…"`,
            "Find out whose it is:",
            `$ ip neigh show ${address}`,
          ],
          left: ["Nothing was changed"],
        });
      }
    }
  }
}

/** The addresses (without prefix length) of VMs that a plan makes or readdresses: those must be free. */
export function addressesToClaim(plan: Plan): string[] {
  return plan.changes.flatMap(({ before, after }) => {
    const had = new Set((before?.addresses ?? []).map(bare));
    return (after?.addresses ?? []).map(bare).filter((address) => !had.has(address));
  });
}

/** The name by which a person allows a VM's loss: the VM's own, or the resource's address for what is no VM. */
export function nameOf({ before, after, address }: PlannedChange): string {
  return before?.name ?? after?.name ?? address;
}

function conflict(vm: PlannedVm, what: string, holder: Guest, todo: readonly string[]): TaskError {
  return new TaskError({
    what: `VM ${vm.name} cannot have ${what}: it is taken`,
    why: `VM ${holder.vmid} (${holder.name}, on ${holder.node}) has it, and it is not managed by this environment`,
    todo,
    left: ["Nothing was changed"],
  });
}

function sizeOf(vm: PlannedVm | undefined, slot: string): number | undefined {
  return vm?.disks.find((disk) => disk.slot === slot)?.gigabytes;
}

function verbs(changes: readonly PlannedChange[]): string {
  return [...new Set(changes.map(({ action }) => (action === "replace" ? "replace" : "destroy")))].join(
    " and ",
  );
}

function bare(address: string): string {
  return address.split("/")[0] ?? address;
}
