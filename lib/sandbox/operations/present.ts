import { optionSchema } from "../schema/index.ts";
import type { Vm, VmConfig, World } from "../world/index.ts";
import { withPending } from "./context.ts";

type Presented = Record<string, string | number>;

/** Nobody gets a password back. */
const HIDDEN_PASSWORD = "**********";

/** A value as the API's JSON has it: numbers and booleans as numbers, everything else as text. */
function presentValue(key: string, value: string): string | number {
  if (key === "cipassword") return HIDDEN_PASSWORD;
  const type = optionSchema(key)?.type;
  return type === "integer" || type === "number" || type === "boolean" ? Number(value) : value;
}

/**
 * A VM's configuration as the API shows it.
 * @param current what is in force, instead of what will be after the next start
 */
export function presentConfig(world: World, vm: Vm, current: boolean): Presented {
  const config = current ? vm.config : withPending(vm);
  return { ...present(config), digest: world.vms.digest(vm) };
}

/** Each option with its value, and what is pending about it. */
export function presentPending(world: World, vm: Vm): Record<string, unknown>[] {
  const keys = new Set([...Object.keys(vm.config), ...Object.keys(vm.pending)]);
  const options = [...keys].map((key) => {
    const value = vm.config[key];
    const pending = vm.pending[key];
    return {
      key,
      ...(value === undefined ? {} : { value: presentValue(key, value) }),
      ...(pending === undefined
        ? {}
        : pending === null
          ? { delete: 1 }
          : { pending: presentValue(key, pending) }),
    };
  });
  return [...options, { key: "digest", value: world.vms.digest(vm) }];
}

function present(config: VmConfig): Presented {
  return Object.fromEntries(Object.entries(config).map(([key, value]) => [key, presentValue(key, value)]));
}
