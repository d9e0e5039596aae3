import type { TofuEvent } from "./events.ts";
import type { Plan, PlannedChange, PlannedVm } from "./plan.ts";

/** What each reason of tofu means to the person who reads it. */
const REASONS: Readonly<Record<string, string>> = {
  replace_because_tainted: "an earlier run made it only half: it was never ready",
  replace_by_request: "as asked for",
  delete_because_no_resource_config: "it is no longer in the configuration",
  delete_because_no_module: "its module is no longer in the configuration",
};

/** A plan as people read it: one paragraph a resource, what is lost in plain words. */
export function describePlan(plan: Plan): string[] {
  if (plan.changes.length === 0) {
    return plan.outputs.length === 0
      ? ["Nothing to change: everything is as configured"]
      : [`No resource changes; outputs are recorded anew: ${plan.outputs.join(", ")}`];
  }
  return plan.changes.flatMap(describeChange);
}

/** One resource's lines. */
function describeChange(change: PlannedChange): string[] {
  const { action, before, after } = change;
  const reason = reasonOf(change);
  switch (action) {
    case "create":
      return after
        ? [`+ VM ${after.name} will be made on ${after.node}`, ...indent(describeVm(after))]
        : [`+ ${change.address} will be made`];
    case "update":
      return [`~ ${titleOf(change)} will be changed`, ...indent(describeAttributes(change))];
    case "replace":
      return [
        `± ${titleOf(change)} will be REPLACED: everything on its disk is lost${reason ? ` – ${reason}` : ""}`,
        ...indent(describeAttributes(change)),
        ...(after ? indent(["The new one:", ...indent(describeVm(after))]) : []),
      ];
    case "delete":
      return [
        `- ${titleOf(change)} will be DESTROYED: everything on its disk is lost${reason ? ` – ${reason}` : ""}`,
        ...(before ? indent(describeVm(before)) : []),
      ];
    case "forget":
      return [`. ${titleOf(change)} stays, but is no longer managed`];
    case "none":
      return [];
  }
}

/** "VM k3s-s1 (101 on pve)", or the address of what is no VM. */
export function titleOf({ address, before, after }: PlannedChange): string {
  const vm = before ?? after;
  if (vm === undefined) return address;
  return `VM ${vm.name} (${vm.vmid === undefined ? "" : `${vm.vmid} `}on ${vm.node})`;
}

/** Why a resource is replaced or removed, in plain words; undefined when nobody says. */
export function reasonOf({ reason, attributes }: PlannedChange): string | undefined {
  const forcing = attributes.filter(({ replaces }) => replaces).map(({ path }) => path);
  if (forcing.length > 0) return `${forcing.join(", ")} cannot be changed in a VM that exists`;
  return reason === undefined ? undefined : (REASONS[reason] ?? reason.replaceAll("_", " "));
}

const DOING: Readonly<Record<string, string>> = {
  create: "making it",
  update: "changing it",
  delete: "destroying it",
};

/**
 * What an apply is doing right now, with the VM's name and for how long already.
 * @returns undefined for what nobody waits for
 */
export function describeProgress({ changes }: Plan, event: TofuEvent): string | undefined {
  if (event.kind !== "resource" || DOING[event.action] === undefined) return undefined;
  const { address, action, state, seconds } = event;
  const change = changes.find((each) => each.address === address);
  const what = state === "done" || state === "failed" ? state : DOING[action];
  return `${change === undefined ? address : titleOf(change)}: ${what}${seconds ? `, ${seconds} s` : ""}`;
}

function describeVm(vm: PlannedVm): string[] {
  const size = [
    vm.cores === undefined ? undefined : `${vm.cores} cores`,
    vm.memory === undefined ? undefined : `${vm.memory} MB of memory`,
    ...vm.disks.map(
      ({ slot, gigabytes, storage }) =>
        `disk ${slot}${gigabytes === undefined ? "" : ` of ${gigabytes} GB`}${storage ? ` on ${storage}` : ""}`,
    ),
  ].filter((each) => each !== undefined);
  const network = [vm.addresses.join(", "), vm.bridges.length > 0 ? `on ${vm.bridges.join(", ")}` : ""]
    .filter((each) => each !== "")
    .join(" ");
  const template =
    vm.templateId === undefined
      ? []
      : [
          `from template ${vm.templateName === undefined ? vm.templateId : `${vm.templateName} (${vm.templateId})`}`,
        ];
  return [
    ...(size.length > 0 ? [size.join(", ")] : []),
    ...(network ? [`address ${network}`] : []),
    ...template,
  ];
}

function describeAttributes({ attributes }: PlannedChange): string[] {
  const width = Math.max(0, ...attributes.map(({ path }) => path.length));
  return attributes.map(({ path, before, after }) => `${path.padEnd(width)}  ${before} → ${after}`);
}

function indent(lines: readonly string[]): string[] {
  return lines.map((line) => `    ${line}`);
}
