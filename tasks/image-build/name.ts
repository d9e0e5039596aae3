import { TaskError } from "../../lib/errors.ts";
import { nextFreeName } from "../../lib/image-name.ts";
import type { BuildRecord } from "../../lib/packer/index.ts";
import {
  type ImageMetadata,
  listVms,
  type Namesake,
  namesakes,
  type ProxmoxApi,
} from "../../lib/proxmox/index.ts";

/** What has a name: nothing; what a build has left that is dead; a template that Packer has finished. */
export type NameState =
  | { readonly kind: "free" }
  | { readonly kind: "left"; readonly vm: Namesake["vm"]; readonly what: string }
  | Extract<Namesake, { kind: "built" }>
  /** The template that this build has made, notes and all: what was interrupted is the end of its task. */
  | { readonly kind: "done"; readonly vm: Namesake["vm"]; readonly metadata: ImageMetadata };

type Unfinished = Extract<Namesake, { kind: "unfinished" }>;

/**
 * Look whether an image can be built under a name.
 * @param record what this clone knows of its last build of it
 * @param own the number of the template that this build has made
 * @throws {TaskError} when somebody has the name, or may be at it: nothing of a build that goes on is ever removed
 */
export async function stateOfName(
  api: ProxmoxApi,
  name: string,
  { record, own }: { readonly record: BuildRecord; readonly own?: number | undefined },
  signal: AbortSignal,
): Promise<NameState> {
  let first: Exclude<Namesake, { kind: "other" }> | undefined;
  for (const each of await namesakes(api, name, signal)) {
    if (each.kind === "other" && each.metadata !== undefined && each.vm.vmid === own)
      return { kind: "done", vm: each.vm, metadata: each.metadata };
    if (each.kind === "other") throw await taken(api, name, each.vm, signal);
    if (each.kind === "unfinished") demandDead(each, record);
    first ??= each;
  }
  if (first === undefined) return { kind: "free" };
  if (first.kind === "built") return first;
  const { vmid, template, status } = first.vm;
  const made = first.since === undefined ? "" : ` of ${shown(first.since)}`;
  const by = first.run === undefined ? "a build" : `a build (run ${first.run})`;
  return {
    kind: "left",
    vm: first.vm,
    what: `${template ? "Template" : "VM"} ${vmid} (${name}, ${status})${made}, which was left by ${by} that did not end`,
  };
}

function demandDead({ vm, run, since, busy }: Unfinished, record: BuildRecord): void {
  const fate = record.fateOf(run);
  if (fate === "ended" || (fate === "unknown" && busy === undefined)) return;
  const begun = record.read();
  const whose =
    fate === "goes on" && begun !== undefined
      ? `The build goes on: run ${run} by ${begun.run.by} (process ${record.packer() ?? begun.run.pid}) since ${begun.run.since}`
      : `${busy?.replace(/^./, (first) => first.toUpperCase()) ?? "It may be in use"}, and ${run === undefined ? "does not say which run it is of" : `is of run ${run}, which this clone does not know or has not seen end`}${since === undefined ? "" : `; it was made at ${shown(since)}`}`;
  throw new TaskError({
    what: `VM ${vm.vmid} (${vm.name}) on ${vm.node} may be a build that goes on`,
    why: whose,
    todo: [
      "If somebody builds it, here or on another machine: wait until it has ended, then run this again",
      `If nobody does: switch it off on the node (qm stop ${vm.vmid}), and a minute later see what was left, and remove it:`,
      "$ npm run leftovers",
    ],
    left: ["Nothing was changed"],
  });
}

async function taken(
  api: ProxmoxApi,
  name: string,
  { vmid, template }: Namesake["vm"],
  signal: AbortSignal,
): Promise<TaskError> {
  const names = (await listVms(api, signal)).map((vm) => vm.name);
  return new TaskError({
    what: `The name ${name} is taken on the node`,
    why: `${template ? "The template" : "VM"} ${vmid} has it`,
    todo: [`Build the next free release: IMAGE_RELEASE=v${nextFreeName(name, names).split("-v").at(-1)}`],
    left: ["Nothing was built"],
  });
}

/** "2026-11-26T14:57:55Z" */
function shown(time: Date): string {
  return time.toISOString().replace(/\.\d+Z$/, "Z");
}
