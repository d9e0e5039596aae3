import type { ProxmoxApi } from "../api/client.ts";
import { permissionsAnswer } from "./missing.ts";

/**
 * Which VMs the token may not see: they look as if they were not there.
 * @param vmids numbers of VMs
 */
export async function hiddenVms(
  api: ProxmoxApi,
  vmids: readonly number[],
  signal?: AbortSignal,
): Promise<number[]> {
  const seen = await Promise.all(
    vmids.map(async (vmid) => {
      const path = `/vms/${vmid}`;
      const answer = await api.get("/access/permissions", permissionsAnswer, { path }, signal);
      return "VM.Audit" in (answer[path] ?? {});
    }),
  );
  return vmids.filter((_, at) => !seen[at]);
}
