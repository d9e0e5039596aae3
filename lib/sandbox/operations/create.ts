import { randomUUID } from "node:crypto";
import { messageOf } from "../../errors.ts";
import { failure } from "../calls.ts";
import { allowed, forbidden, type Guard } from "../permissions.ts";
import type { Worker } from "../world/index.ts";
import { defaultBoot } from "./boot-order.ts";
import type { Draft, Operation } from "./context.ts";
import { demandOptions } from "./option-privileges.ts";
import { type ConfigChange, checkDevices, setOptions } from "./update-config.ts";

/** Version of QEMU that the node claims to have. */
const QEMU_VERSION = "10.0.2";

/**
 * Check a new VM before anything happens.
 * @throws {ApiError}
 */
export function checkCreate(operation: Operation, vmid: number, options: ConfigChange["options"]): void {
  const { world, caller } = operation;
  const guard: Guard = { access: world.access, caller };
  if (!allowed(guard, `/vms/${vmid}`, ["VM.Allocate"])) throw forbidden();
  demandOptions(guard, vmid, options, [], {});
  checkDevices(guard, operation, options);
  if (world.vms.get(vmid) !== undefined) {
    throw failure(`unable to create VM ${vmid} - VM ${vmid} already exists on node '${world.node}'`);
  }
}

/**
 * Reserve the VMID: from here on nobody else can take it.
 * @throws {ApiError}
 */
export function reserve({ world }: Operation, vmid: number): void {
  world.vms.create(vmid, { lock: "create" });
}

/** Make the VM that was reserved. When it fails nothing of it is left. */
export async function create(
  operation: Operation,
  vmid: number,
  options: ConfigChange["options"],
  worker: Worker,
): Promise<void> {
  const { world } = operation;
  try {
    await worker.takes(1);
    const draft: Draft = { ...identity() };
    await setOptions(operation, vmid, draft, options, worker.log);
    draft.boot ??= defaultBoot(draft);
    world.vms.update(vmid, { config: draft });
  } catch (error) {
    world.vms.remove(vmid);
    throw failure(`unable to create VM ${vmid} - ${messageOf(error)}`);
  }
}

/** What makes a VM itself and no other. */
function identity(): Draft {
  return {
    meta: `creation-qemu=${QEMU_VERSION},ctime=${Math.floor(Date.now() / 1000)}`,
    smbios1: `uuid=${randomUUID()}`,
    vmgenid: randomUUID(),
  };
}
