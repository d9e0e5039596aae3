import * as v from "valibot";
import { parseMark } from "../run-mark.ts";
import { number } from "./api/answers.ts";
import type { ProxmoxApi } from "./api/client.ts";
import { nodePath } from "./api/paths.ts";
import { runOfTag } from "./changes.ts";
import { type ImageMetadata, parseNotes } from "./image-metadata.ts";
import { createdAt, listVms, type VmDetails, type VmSummary, vmDetails } from "./inventory.ts";

/** A VM or template that bears the name of an image which is to be built. */
export type Namesake =
  /** A finished image, or nothing of a build. */
  | { readonly kind: "other"; readonly vm: VmSummary; readonly metadata: ImageMetadata | undefined }
  /** A template that Packer has finished, while the task did not come to write its notes. */
  | { readonly kind: "built"; readonly vm: VmSummary; readonly since: Date; readonly k3sVersion?: string }
  /** What a build is at, or has left. */
  | {
      readonly kind: "unfinished";
      readonly vm: VmSummary;
      /** The build's run, its eight digits. */
      readonly run: string | undefined;
      readonly since: Date | undefined;
      /** What speaks for a build that goes on, as a sentence's end. */
      readonly busy: string | undefined;
    };

/** Between two tasks of a VM that it builds, Packer is quiet for some seconds; when it types and installs, the VM runs. */
const QUIET_MS = 60_000;

/** How Packer leaves a template's notes: image_description in common.pkr.hcl. */
const BUILT = /^Golden image \S+: AlmaLinux \d+ with k3s (\S+), made by homelab\.\s*$/;

const recentTasksAnswer = v.array(v.object({ starttime: number, endtime: v.optional(number) }));

/**
 * Everything of a name.
 * @param now milliseconds since 1970, on the node's clock
 */
export async function namesakes(
  api: ProxmoxApi,
  name: string,
  signal: AbortSignal,
  now = Date.now(),
): Promise<Namesake[]> {
  const vms = (await listVms(api, signal)).filter((vm) => vm.name === name);
  return await Promise.all(
    vms.map(async (vm) => await namesake(api, await vmDetails(api, vm, signal), signal, now)),
  );
}

async function namesake(api: ProxmoxApi, vm: VmDetails, signal: AbortSignal, now: number): Promise<Namesake> {
  const { config, tags, template } = vm;
  const notes = config.description ?? "";
  const [run] = tags.flatMap((tag) => runOfTag(tag) ?? []);
  // Packer's VMs bear these tags from the beginning; those of uploads have another one, and their run in the notes.
  const ofBuild = ["homelab", "k3s"].every((tag) => tags.includes(tag)) && !tags.includes("template");
  const metadata = parseNotes(notes);
  if (!ofBuild || parseMark(notes) !== undefined || metadata !== undefined || (template && run === undefined))
    return { kind: "other", vm, metadata };
  const since = createdAt(vm);
  const [, k3sVersion] = BUILT.exec(notes) ?? [];
  // Packer writes these notes with its last call, which gives the template its cloud-init drive as well.
  if (template && k3sVersion !== undefined && since !== undefined)
    return { kind: "built", vm, since, k3sVersion };
  return { kind: "unfinished", vm, run, since, busy: await business(api, vm, signal, now) };
}

/**
 * What speaks for somebody being at work with a build's VM, as a sentence's end; undefined when nothing does.
 * @param now milliseconds since 1970, on the node's clock
 */
export async function business(
  api: ProxmoxApi,
  { vmid, node, status, config }: VmDetails,
  signal: AbortSignal,
  now: number,
): Promise<string | undefined> {
  if (status === "running") return "it runs";
  if (config.lock !== undefined) return `it is locked (${config.lock})`;
  const path = `${nodePath(node)}/tasks`;
  const tasks = await api.get(path, recentTasksAnswer, { vmid, source: "all", limit: 20 }, signal);
  const recent = tasks.some(
    ({ starttime, endtime }) =>
      endtime === undefined || Math.abs(now - (endtime || starttime) * 1000) < QUIET_MS,
  );
  return recent ? "the node was at work on it less than a minute ago" : undefined;
}
