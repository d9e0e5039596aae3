import { messageOf } from "../errors.ts";
import type { Tofu } from "./cli.ts";
import type { Guest } from "./guards.ts";
import type { Plan } from "./plan.ts";

/**
 * What an apply that failed or was interrupted has left behind, as lines for a person.
 * @param guests reads the cluster's VMs anew
 */
export async function leftovers(
  plan: Plan,
  tofu: Pick<Tofu, "managed">,
  guests: () => Promise<readonly Guest[]>,
): Promise<string[]> {
  const before = new Set(plan.resources.flatMap((resource) => resource.before?.vmid ?? []));
  const wanted = plan.changes.flatMap(({ action, after }) =>
    (action === "create" || action === "replace") && after !== undefined ? [after.name] : [],
  );
  if (wanted.length === 0) return [];
  try {
    const managed = await tofu.managed();
    const known = new Set(managed.map(({ vmid }) => vmid));
    const strays = (await guests()).filter(
      ({ vmid, name, template }) =>
        !template && !before.has(vmid) && !known.has(vmid) && wanted.includes(name),
    );
    const lines = [
      ...managed
        .filter(({ vmid, name }) => !before.has(vmid) && wanted.includes(name))
        .map(
          ({ vmid, name }) =>
            `VM ${vmid} (${name}) exists and is in the state; if it was made only half, npm run tf-apply -- --allow-replace ${name} makes it anew, npm run tf-destroy removes it`,
        ),
      ...strays.flatMap(({ vmid, name, node }) => [
        `VM ${vmid} (${name}) is on the node ${node} but not in the state. Remove it there:`,
        `$ qm stop ${vmid}; qm destroy ${vmid} --purge`,
      ]),
    ];
    if (lines.length > 0) return lines;
    return [`No VM was left: there is no new ${wanted.join(", ")} on the node, nor in the state`];
  } catch (error) {
    return [
      `What was left behind could not be found out (${messageOf(error)}): look for VMs called ${wanted.join(", ")}`,
    ];
  }
}
