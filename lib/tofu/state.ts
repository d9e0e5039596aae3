import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { stateProtection } from "./encryption.ts";

/** What kind of resource a VM is to the provider. */
const VM_TYPE = "proxmox_virtual_environment_vm";

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
    if (type !== VM_TYPE || !values.id) return;
    found.push({ address, vmid: Number(values.id), name: values.name ?? "" });
  };
  visit(state);
  return found;
}

/** As much of a state's file as tells its VMs. The form is OpenTofu's own: what looks otherwise tells nothing. */
const StateFileSchema = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({
    version: v.literal(4),
    resources: v.array(
      v.object({
        type: v.string(),
        instances: v.array(v.object({ attributes: v.object({ id: v.optional(v.nullable(v.string())) }) })),
      }),
    ),
  }),
);

/**
 * The numbers of the VMs that an environment's state knows, without OpenTofu.
 * @param directory of the environment
 * @param stateDir where the state lies, when it is not there
 * @returns undefined where that cannot be told: the state is encrypted, elsewhere, or of a form that is not known
 */
export async function vmsKnown(
  directory: string,
  stateDir?: string,
): Promise<ReadonlySet<number> | undefined> {
  try {
    const protection = await stateProtection(directory, stateDir);
    if (protection === "none yet") return new Set();
    if (protection !== "readable") return undefined;
    const file = join(stateDir ?? directory, "terraform.tfstate");
    const text = await readFile(file, "utf8");
    // OpenTofu makes an empty one when it locks it; one that held something before has a backup.
    if (text === "" && !existsSync(`${file}.backup`)) return new Set();
    const { resources } = v.parse(StateFileSchema, text);
    const ids = resources
      .filter(({ type }) => type === VM_TYPE)
      .flatMap(({ instances }) => instances.map(({ attributes }) => Number(attributes.id ?? Number.NaN)));
    return ids.some(Number.isNaN) ? undefined : new Set(ids);
  } catch {
    return undefined;
  }
}
