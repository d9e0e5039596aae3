import { isDeepStrictEqual } from "node:util";
import { TaskError } from "../../lib/errors.ts";
import { pollUntil } from "../../lib/poll.ts";
import type { Step } from "../../lib/task/index.ts";
import {
  type BegunRun,
  beingCloned,
  type Guest,
  halfMade,
  needsGuests,
  type Plan,
} from "../../lib/tofu/index.ts";

/** How long a clone may take that a killed run has begun: the node goes on with it. */
const CLONE_MS = 60 * 60_000;

export interface HalfMadeDeps {
  /** Every VM and template of the cluster. */
  guests(signal: AbortSignal): Promise<readonly Guest[]>;
  /** Whether a node clones something now; left out, clones are not waited for. */
  cloning?(node: string, signal: AbortSignal): Promise<boolean>;
  /** Removes a VM with its disks; left out, none is. */
  remove?(guest: Guest, signal: AbortSignal): Promise<void>;
}

/**
 * What a killed run has left half made is in no state, and its name is in the way: it is removed once that is agreed to,
 * for the plan makes it anew.
 * @param planned the plan, once it is made
 * @param begun the runs that did not end well
 */
export function halfMadeStep(
  planned: () => Plan,
  begun: () => readonly BegunRun[],
  { guests, cloning, remove }: HalfMadeDeps,
): Step {
  return {
    title: "Look for VMs that an interrupted run has left half made",
    skip: () =>
      (remove === undefined || begun().length === 0 || !needsGuests(planned())) && "none was interrupted",
    async run({ signal, output, note, confirm }) {
      const all = await pollUntil(
        async () => {
          const there = await guests(signal);
          for (const { vmid, node } of beingCloned(there, begun())) {
            if (!(await cloning?.(node, signal))) continue;
            const pending = `VM ${vmid} is still being cloned on ${node}`;
            output(pending);
            return { pending };
          }
          return { value: there };
        },
        { timeoutMs: CLONE_MS, signal },
        (why) =>
          new TaskError({
            what: "What an interrupted run has begun on the node does not come to its end",
            why,
            todo: ["Look at the node's tasks in its web interface; end the clone there if it hangs"],
            left: ["Nothing was changed"],
          }),
      );
      for (const { vmid, node } of beingCloned(all, begun())) {
        // It has neither name nor notes: nothing says for certain whose it is.
        note(
          `VM ${vmid} on ${node} is locked by a clone that has ended, perhaps one of an interrupted run. When nobody needs it, on the node: qm unlock ${vmid}; qm destroy ${vmid} --purge`,
        );
      }
      for (const { guest, run } of halfMade(planned(), all, begun())) {
        const what = `VM ${guest.vmid} (${guest.name}), which run ${run.id} of ${run.since} has left half made`;
        // Without consent the next step says that the name is taken.
        if (!(await confirm(`Remove ${what}? It is made anew`))) continue;
        // The question may have stood for long, and the VM is removed by its number alone.
        const now = (await guests(signal)).find(({ vmid }) => vmid === guest.vmid);
        if (now === undefined) continue;
        if (now.name !== guest.name || !isDeepStrictEqual(now.config, guest.config)) {
          note(`VM ${guest.vmid} is not what it was when it was asked about (${now.name} now): it stays`);
          continue;
        }
        await remove?.(guest, signal);
        note(`Removed ${what}`);
      }
    },
  };
}
