import * as v from "valibot";
import { TaskError } from "../errors.ts";
import { type AttributeChange, attributeChanges } from "./attributes.ts";
import { type ChangeJson, PlanJsonSchema, templatesSeen, VmJsonSchema } from "./plan-json.ts";

/** What is done to a resource. "replace" makes a new one and removes the old one. */
export type PlannedAction = "none" | "create" | "update" | "replace" | "delete" | "forget";

/** A VM as it is or is to be. */
export interface PlannedVm {
  readonly name: string;
  readonly node: string;
  /** Not known before it is made. */
  readonly vmid?: number;
  /** The template it is cloned from: its id, and its name where the node shows it. */
  readonly templateId?: number;
  readonly templateName?: string;
  readonly cores?: number;
  /** Megabytes. */
  readonly memory?: number;
  readonly disks: readonly {
    readonly slot: string;
    readonly storage?: string;
    readonly gigabytes?: number;
  }[];
  readonly bridges: readonly string[];
  /** IPv4 addresses with prefix length, as cloud-init gets them. */
  readonly addresses: readonly string[];
}

/** What is to happen to one resource. */
export interface PlannedChange {
  /** module.server.proxmox_virtual_environment_vm.vm */
  readonly address: string;
  readonly action: PlannedAction;
  /** Why it is replaced or removed, in tofu's words: "replace_because_tainted". */
  readonly reason?: string;
  /** What changes, by attribute; empty for one that is made or removed. */
  readonly attributes: readonly AttributeChange[];
  /** The VM before and after, when the resource is one. */
  readonly before?: PlannedVm;
  readonly after?: PlannedVm;
}

/** What an apply would do. */
export interface Plan {
  /** Every managed resource, also those that stay as they are. */
  readonly resources: readonly PlannedChange[];
  /** Those of them that change. */
  readonly changes: readonly PlannedChange[];
  /** Names of outputs that change; they live in the state alone. */
  readonly outputs: readonly string[];
}

/** What to do when tofu speaks another language than the one we know. */
export const OTHER_TOFU = [
  "See which version it is; npm run setup gets the one that is pinned:",
  "$ tofu version",
];

const VM_TYPE = "proxmox_virtual_environment_vm";

/**
 * Read what `tofu show -json PLAN` prints. Values of variables (secrets among them) are not taken over.
 * @throws {TaskError} when it has another form
 */
export function parsePlan(text: string): Plan {
  const parsed = v.safeParse(PlanJsonSchema, JSON.parse(text));
  if (!parsed.success) {
    throw new TaskError({
      what: "The plan that tofu printed could not be read",
      why: parsed.issues.map((issue) => `${v.getDotPath(issue) ?? "plan"}: ${issue.message}`).join("; "),
      todo: OTHER_TOFU,
    });
  }
  const { resource_changes, output_changes, prior_state } = parsed.output;
  const templates = templatesSeen(prior_state);
  const resources = resource_changes
    .filter(({ mode }) => mode === "managed")
    .map(({ address, type, change, action_reason }): PlannedChange => {
      const action = actionOf(change);
      const vm = (value: unknown): PlannedVm | undefined =>
        type === VM_TYPE ? parseVm(value, templates) : undefined;
      const before = vm(change.before);
      const after = vm(change.after);
      return {
        address,
        action,
        ...(action_reason === undefined ? {} : { reason: action_reason }),
        attributes: action === "update" || action === "replace" ? attributeChanges(change) : [],
        ...(before === undefined ? {} : { before }),
        ...(after === undefined ? {} : { after }),
      };
    });
  return {
    resources,
    changes: resources.filter(({ action }) => action !== "none"),
    outputs: Object.keys(output_changes).filter((name) => {
      const change = output_changes[name];
      return change !== undefined && actionOf(change) !== "none";
    }),
  };
}

function actionOf({ actions }: ChangeJson): PlannedAction {
  if (actions.includes("create") && actions.includes("delete")) return "replace";
  const [action] = actions;
  return action === undefined || action === "no-op" || action === "read" ? "none" : action;
}

function parseVm(value: unknown, templates: ReadonlyMap<number, string>): PlannedVm | undefined {
  const parsed = v.safeParse(VmJsonSchema, value);
  if (!parsed.success) return undefined;
  const vm = parsed.output;
  const templateId = vm.clone?.[0]?.vm_id ?? undefined;
  const templateName = templateId === undefined ? undefined : templates.get(templateId);
  return {
    name: vm.name,
    node: vm.node_name,
    ...defined("vmid", vm.vm_id),
    ...defined("templateId", templateId),
    ...defined("templateName", templateName),
    ...defined("cores", vm.cpu?.[0]?.cores),
    ...defined("memory", vm.memory?.[0]?.dedicated),
    disks: (vm.disk ?? []).map((disk) => ({
      slot: disk.interface,
      ...defined("storage", disk.datastore_id),
      ...defined("gigabytes", disk.size),
    })),
    bridges: (vm.network_device ?? []).flatMap(({ bridge }) => bridge ?? []),
    addresses: (vm.initialization ?? []).flatMap(({ ip_config }) =>
      (ip_config ?? []).flatMap(({ ipv4 }) => (ipv4 ?? []).flatMap(({ address }) => address ?? [])),
    ),
  };
}

function defined<Key extends string, Value>(
  key: Key,
  value: Value | null | undefined,
): { [Name in Key]?: Value } {
  return (value === null || value === undefined ? {} : { [key]: value }) as { [Name in Key]?: Value };
}
