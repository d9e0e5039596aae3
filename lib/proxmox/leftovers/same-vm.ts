import { isDeepStrictEqual } from "node:util";
import { TaskError } from "../../errors.ts";
import type { ProxmoxApi } from "../api/client.ts";
import { type VmDetails, vmDetails } from "../inventory.ts";
import { GONE } from "./leftover.ts";

/** What a VM's configuration was when somebody looked. */
export type SeenVm = Pick<VmDetails, "node" | "vmid" | "name" | "config">;

/**
 * Look whether a VM is still what it was: its number may be another VM's by now. The API removes by number alone, so this
 * comes right before.
 * @returns why it is not; undefined when nothing of it has changed
 */
export async function sameVm(
  api: ProxmoxApi,
  seen: SeenVm,
  signal: AbortSignal,
): Promise<string | undefined> {
  const config = await configNow(api, seen, signal);
  if (config === undefined) return GONE;
  // Among it are its notes, its tags, and an identity that no other VM has.
  if (isDeepStrictEqual(config, seen.config)) return undefined;
  return config.name === seen.name
    ? "it has changed since it was looked at"
    : `VM ${seen.vmid} is another one now (${config.name ?? "without a name"})`;
}

/** A VM's configuration; undefined when there is no VM of that number any more. */
export async function configNow(
  api: ProxmoxApi,
  { node, vmid }: Pick<SeenVm, "node" | "vmid">,
  signal: AbortSignal,
): Promise<VmDetails["config"] | undefined> {
  const vm = { node, vmid, name: "", template: false, status: "", tags: [] };
  try {
    return (await vmDetails(api, vm, signal)).config;
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof TaskError && /does not exist/.test(error.why ?? "")) return undefined;
    throw error;
  }
}
