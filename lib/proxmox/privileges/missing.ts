import * as v from "valibot";
import type { ProxmoxApi } from "../api/client.ts";
import { version } from "../inventory.ts";
import { NEEDS, type Place, type PlaceSettings, type PveTask, pathOf } from "./needs.ts";
import { releaseOf } from "./release.ts";

/** A privilege that the token lacks, for one task. */
export interface MissingPrivilege {
  readonly task: PveTask;
  /** As access control lists have it: "/storage/vmdata". */
  readonly path: string;
  /** By the name that the node's release has for it. */
  readonly privilege: string;
  /** What it is for: "disks of VMs and templates". */
  readonly purpose: string;
}

const PLACES: readonly Place[] = ["vms", "storage", "images", "network"];

/** Privileges by path, each with whether it also holds below the path. */
export const permissionsAnswer = v.record(
  v.string(),
  v.record(v.string(), v.union([v.number(), v.string()])),
);

/**
 * Which privileges the token lacks for which tasks. What counts is what it may in the end: with privilege separation, what
 * both it and its user may.
 * @returns one for each task, path and privilege; empty when every task may do all that it has to
 * @throws {ApiFailure} when the API refuses the token, {TaskError} when it cannot be reached or its release is not supported
 * @see GET /access/permissions, which everybody may ask about themselves
 */
export async function missingPrivileges(
  api: ProxmoxApi,
  settings: PlaceSettings,
  signal?: AbortSignal,
): Promise<MissingPrivilege[]> {
  const [release, ...held] = await Promise.all([
    version(api, signal).then(releaseOf),
    ...PLACES.map(async (place) => [place, await heldOn(api, place, settings, signal)] as const),
  ]);
  const holds = new Map(held);
  const missing = NEEDS.flatMap(({ place, privilege: names, purpose, tasks }) => {
    const privilege = names[release];
    const path = pathOf(place, settings);
    if (holds.get(place)?.has(privilege)) return [];
    return tasks.map((task): MissingPrivilege => ({ task, path, privilege, purpose }));
  });
  // Where one storage is for disks and for images, both may ask for the same.
  const keys = missing.map(({ task, path, privilege }) => `${task} ${path} ${privilege}`);
  return missing.filter((_, at) => keys.indexOf(keys[at] ?? "") === at);
}

async function heldOn(
  api: ProxmoxApi,
  place: Place,
  settings: PlaceSettings,
  signal?: AbortSignal,
): Promise<ReadonlySet<string>> {
  const path = pathOf(place, settings);
  const answer = await api.get("/access/permissions", permissionsAnswer, { path }, signal);
  const held = Object.entries(answer[path] ?? {});
  // VMs come and go: what does not hold below the path holds for none of them.
  const counts = held.filter(([, below]) => place !== "vms" || Number(below) === 1);
  return new Set(counts.map(([privilege]) => privilege));
}
