import * as v from "valibot";

const ResourceSchema = v.object({
  address: v.string(),
  mode: v.literal("managed"),
  type: v.string(),
  values: v.object({ id: v.optional(v.nullable(v.string())), name: v.optional(v.nullable(v.string())) }),
});

/** A VM that the state knows. */
export interface ManagedVm {
  readonly address: string;
  readonly vmid: number;
  readonly name: string;
}

/** The VMs in what `tofu show -json` prints of a state, in modules at any depth. */
export function vmsInState(state: unknown): ManagedVm[] {
  const found: ManagedVm[] = [];
  const visit = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    const resource = v.safeParse(ResourceSchema, value);
    if (!resource.success) {
      for (const each of Object.values(value)) visit(each);
      return;
    }
    const { address, type, values } = resource.output;
    if (type !== "proxmox_virtual_environment_vm" || !values.id) return;
    found.push({ address, vmid: Number(values.id), name: values.name ?? "" });
  };
  visit(state);
  return found;
}
