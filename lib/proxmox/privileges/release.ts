import { TaskError } from "../../errors.ts";
import type { PveRelease } from "./needs.ts";

/**
 * The release that a version belongs to.
 * @param version for example "9.2.11"
 * @throws {TaskError} for one that the tasks do not support
 */
export function releaseOf(version: string): PveRelease {
  const [, major] = /^(\d+)(?:\.|$)/.exec(version) ?? [];
  if (major === "8") return 8;
  if (major === "9") return 9;
  throw new TaskError({
    what: `Proxmox VE ${version} is not supported`,
    why: "The tasks know the privileges of 8 and 9",
    todo: ["Upgrade the node to Proxmox VE 9"],
  });
}
