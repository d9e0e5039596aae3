import { inventory, type Leftover, type ProxmoxApi, removeVm, sameVm } from "../../lib/proxmox/index.ts";
import type { Guest, Interrupted } from "../../lib/tofu/index.ts";

export interface LeftHalfMadeDeps {
  readonly api: ProxmoxApi;
  /** What interrupted runs have left half made of these VMs. */
  interrupted(guests: readonly Guest[]): Promise<readonly Interrupted[]>;
  /** Does something while nobody else here changes the environment. */
  alone(environment: string, action: () => Promise<void>): Promise<void>;
}

/** VMs that an interrupted apply or deploy has left half made; running it again makes them anew. */
export async function leftHalfMade(deps: LeftHalfMadeDeps, signal: AbortSignal): Promise<Leftover[]> {
  const { api } = deps;
  const vms = await inventory(api, signal);
  const found = await deps.interrupted(vms);
  return vms.flatMap((vm): Leftover[] => {
    const its = found.find(({ guest }) => guest.vmid === vm.vmid);
    if (its === undefined) return [];
    const { run, environment, busy } = its;
    return [
      {
        kind: "half-made VM",
        name: `VM ${vm.vmid} (${vm.name})`,
        run: run.mark ?? run.id,
        busy,
        async remove(aborted) {
          let why: string | undefined;
          await deps.alone(environment, async () => {
            why = await sameVm(api, vm, aborted);
            if (why !== undefined) return;
            const now = (await deps.interrupted([vm]))[0];
            why = now === undefined ? "its run has come to its end" : now.busy;
            if (why === undefined) await removeVm(api, vm, aborted);
          });
          return why;
        },
      },
    ];
  });
}
