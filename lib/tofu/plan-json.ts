import * as v from "valibot";

/** The parts of `tofu show -json PLAN` that are used here. @see https://opentofu.org/docs/internals/json-format/ */

const Actions = v.array(v.picklist(["no-op", "create", "read", "update", "delete", "forget"]));

const ChangeSchema = v.object({
  actions: Actions,
  before: v.optional(v.unknown()),
  after: v.optional(v.unknown()),
  after_unknown: v.optional(v.unknown()),
  before_sensitive: v.optional(v.unknown()),
  after_sensitive: v.optional(v.unknown()),
  replace_paths: v.optional(v.array(v.array(v.union([v.string(), v.number()])))),
});

export const PlanJsonSchema = v.object({
  format_version: v.pipe(v.string(), v.regex(/^1\./, "only plan format 1 is understood")),
  errored: v.optional(v.boolean(), false),
  resource_changes: v.optional(
    v.array(
      v.object({
        address: v.string(),
        mode: v.string(),
        type: v.string(),
        change: ChangeSchema,
        action_reason: v.optional(v.string()),
      }),
    ),
    [],
  ),
  output_changes: v.optional(v.record(v.string(), ChangeSchema), {}),
  prior_state: v.optional(v.unknown()),
});

export type ChangeJson = v.InferOutput<typeof ChangeSchema>;

/** A block that may stand once: the provider shows it as a list. */
const once = <Item extends v.GenericSchema>(item: Item) => v.optional(v.nullable(v.array(item)), []);

/** The attributes of a VM (proxmox_virtual_environment_vm) that people decide about. */
export const VmJsonSchema = v.object({
  name: v.string(),
  node_name: v.string(),
  vm_id: v.optional(v.nullable(v.number())),
  started: v.optional(v.nullable(v.boolean())),
  clone: once(v.object({ vm_id: v.optional(v.nullable(v.number())) })),
  cpu: once(v.object({ cores: v.optional(v.nullable(v.number())) })),
  memory: once(v.object({ dedicated: v.optional(v.nullable(v.number())) })),
  disk: once(
    v.object({
      interface: v.string(),
      datastore_id: v.optional(v.nullable(v.string())),
      size: v.optional(v.nullable(v.number())),
    }),
  ),
  network_device: once(v.object({ bridge: v.optional(v.nullable(v.string())) })),
  initialization: once(
    v.object({
      ip_config: once(v.object({ ipv4: once(v.object({ address: v.optional(v.nullable(v.string())) })) })),
    }),
  ),
});

const ListedVmsSchema = v.object({
  vms: v.array(v.object({ vm_id: v.number(), name: v.string(), template: v.boolean() })),
});

/** The templates that the plan's data sources saw, by id. */
export function templatesSeen(priorState: unknown): Map<number, string> {
  const found = new Map<number, string>();
  const visit = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    const listed = v.safeParse(ListedVmsSchema, value);
    if (listed.success) {
      for (const vm of listed.output.vms) if (vm.template) found.set(vm.vm_id, vm.name);
      return;
    }
    for (const each of Object.values(value)) visit(each);
  };
  visit(priorState);
  return found;
}
