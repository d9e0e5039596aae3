import { readFileSync } from "node:fs";
import { isPrivilege, type Privilege } from "../../../lib/sandbox/world/index.ts";
import { RECORDINGS } from "./recordings.ts";

/** What a real node did when one privilege of a flow was taken away. */
export interface Refusal {
  readonly privilege: string;
  /** Where it was taken away. */
  readonly path: string;
  /** "METHOD /path: reason" of the first call that was refused, or "TASK: reason" of the task that failed. */
  readonly refusal: string | undefined;
}

/** "a+c" creates, plans and destroys by OpenTofu, "d" builds an image by Packer. */
export type MeasuredFlow = "a+c" | "d";

interface Measured {
  readonly privileges: readonly {
    readonly privilege: string;
    readonly path: string;
    readonly flows: Partial<
      Record<
        MeasuredFlow,
        {
          readonly apiFailures: readonly {
            readonly call?: string;
            readonly reason?: string;
            readonly task?: string;
            readonly exitstatus?: string;
          }[];
        }
      >
    >;
  }[];
  readonly minimal: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

/** Every privilege that was taken away from a flow. */
export function measuredRefusals(name: MeasuredFlow): Refusal[] {
  return measured().privileges.flatMap(({ privilege, path, flows }) => {
    const flow = flows[name];
    if (flow === undefined) return [];
    const { call, reason, task, exitstatus } = flow.apiFailures[0] ?? {};
    const refusal = call === undefined ? task && `${task}: ${exitstatus}` : `${call}: ${reason}`;
    return [{ privilege, path, refusal }];
  });
}

/** The set of privileges with which a flow passed on the real node, by path. */
export function minimalGrants(
  flow: "i_tofu_create_plan_destroy" | "ii_packer_proxmox_iso",
): Readonly<Record<string, readonly Privilege[]>> {
  return Object.fromEntries(
    Object.entries(measured().minimal[flow] ?? {}).flatMap(([path, privileges]) =>
      Array.isArray(privileges) ? [[path, privileges.map(String).filter(isPrivilege)] as const] : [],
    ),
  );
}

function measured(): Measured {
  return JSON.parse(readFileSync(`${RECORDINGS}/privileges.json`, "utf8")) as Measured;
}
