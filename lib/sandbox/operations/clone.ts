import { randomUUID } from "node:crypto";
import { dirname, relative } from "node:path/posix";
import { messageOf } from "../../errors.ts";
import { failure } from "../calls.ts";
import { demand, type Guard } from "../permissions.ts";
import { formatDiskSize } from "../schema/index.ts";
import { cloneImage, isTemplate, linkImage, parseVolumeId, type Vm, type Worker } from "../world/index.ts";
import { formatOf, newVolume, removeVolumes } from "./allocate.ts";
import { type Draft, demandUnlocked, lineageOf, type Operation, vmOnNode } from "./context.ts";
import { type Drive, drivesOf, hasVolume, isCdrom, isCloudInit, isUnusedKey, printDrive } from "./drives.ts";
import { demandBridge, isNicKey, parseNic, printNic, randomMac } from "./network.ts";
import { demandRoomFor } from "./room.ts";
import { formattingLine, linkedFormattingLine, transferReporter } from "./wording.ts";

/** What a client wants of a clone. */
export interface CloneRequest {
  readonly vmid: number;
  readonly newid: number;
  readonly name: string | undefined;
  readonly description: string | undefined;
  /** undefined: linked for a template, full for a VM. */
  readonly full: boolean | undefined;
  readonly storage: string | undefined;
  readonly format: string | undefined;
  readonly target: string | undefined;
}

/** A clone that was accepted. */
export interface ClonePlan extends CloneRequest {
  readonly source: Vm;
  readonly full: boolean;
}

/**
 * Check a clone and reserve its VMID.
 * @throws {ApiError}
 */
export function planClone({ world, caller }: Operation, request: CloneRequest): ClonePlan {
  const { vmid, newid, storage, target } = request;
  const guard: Guard = { access: world.access, caller };
  if (target !== undefined && target !== world.node) throw failure(`no such cluster node '${target}'`);
  if (storage !== undefined) {
    demand(guard, `/storage/${storage}`, ["Datastore.AllocateSpace"]);
    world.storages.get(storage);
  }
  const source = vmOnNode(world, vmid);
  demandUnlocked(source);
  if (world.vms.get(newid) !== undefined) {
    throw failure(`unable to create VM ${newid}: config file already exists`);
  }
  const full = request.full ?? !isTemplate(source);
  for (const [key, drive] of clonedDrives(source)) {
    if (!full && !isCloudInit(drive) && !isTemplate(source)) {
      throw failure(`Linked clone feature is not supported for '${drive.file}' (${key})`);
    }
    const where = storage ?? parseVolumeId(drive.file ?? "")?.storage;
    demand(guard, `/storage/${where}`, ["Datastore.AllocateSpace"]);
  }
  for (const [key, value] of Object.entries(source.config)) {
    if (isNicKey(key)) demandBridge(guard, parseNic(key, value));
  }
  world.vms.create(newid, { description: " qmclone temporary file", lock: "clone" }, lineageOf(source));
  return { ...request, source, full };
}

/** Make the clone that was planned. When it fails nothing of it is left. */
export async function clone({ world }: Operation, plan: ClonePlan, worker: Worker): Promise<void> {
  const { newid, source } = plan;
  const created: string[] = [];
  try {
    worker.log(`creating a clone of VM ${source.vmid} with ID ${newid}`);
    await worker.takes(1.5);
    const draft = inherited(plan);
    for (const [key, drive] of clonedDrives(source)) {
      draft[key] = printDrive(key, await cloneDrive({ world, plan, worker, created }, key, drive));
    }
    world.vms.update(newid, { config: draft });
  } catch (error) {
    await removeVolumes(world, created);
    world.vms.remove(newid);
    throw failure(`clone failed: ${messageOf(error)}`);
  }
}

interface CloneWork {
  readonly world: Operation["world"];
  readonly plan: ClonePlan;
  readonly worker: Worker;
  readonly created: string[];
}

/** Everything but the drives; what must be its own is made anew. */
function inherited({ source, name, description, vmid }: ClonePlan): Draft {
  const draft: Draft = {};
  for (const [key, value] of Object.entries(source.config)) {
    if (key === "template" || key === "lock" || isUnusedKey(key)) continue;
    draft[key] = isNicKey(key) ? printNic({ ...parseNic(key, value), macaddr: randomMac() }) : value;
  }
  draft.name = name ?? `Copy-of-VM-${source.config.name ?? vmid}`;
  if (description !== undefined) draft.description = description;
  draft.smbios1 = withUuid(source.config.smbios1);
  if (source.config.vmgenid !== undefined) draft.vmgenid = randomUUID();
  return draft;
}

/** Drives with volumes; CD-ROMs other than the cloud-init drive are shared as they are. */
function clonedDrives(source: Vm): [string, Drive][] {
  return drivesOf(source.config).filter(
    ([, drive]) => hasVolume(drive) && (!isCdrom(drive) || isCloudInit(drive)),
  );
}

async function cloneDrive(work: CloneWork, key: string, drive: Drive): Promise<Drive> {
  const { world, plan, worker } = work;
  const from = world.storages.locate(drive.file ?? "");
  const linked = !plan.full && from.isBase;
  worker.log(`create ${linked ? "linked" : "full"} clone of drive ${key} (${drive.file})`);
  return linked ? await linkDrive(work, drive) : await copyDrive(work, key, drive);
}

async function copyDrive(
  { world, plan, worker, created }: CloneWork,
  key: string,
  drive: Drive,
): Promise<Drive> {
  const from = world.storages.locate(drive.file ?? "");
  const storage = plan.storage ?? from.storage.id;
  const format = formatOf(plan.format ?? from.format);
  const volid = isCloudInit(drive)
    ? `${storage}:${plan.newid}/vm-${plan.newid}-cloudinit.${from.format}`
    : await newVolume(world, storage, plan.newid, format);
  const size = (await world.storages.describe(from.volid))?.size ?? 0;
  const to = world.storages.locate(volid);
  worker.log(formattingLine(to.path, to.format, size));
  created.push(volid);
  worker.log(`allocated target volume '${volid}'`);
  // The node says nothing about the progress of the small ones.
  const silent = isCloudInit(drive) || key === "efidisk0";
  const report = silent ? () => {} : transferReporter(size, worker.log);
  await demandRoomFor(
    world,
    { from: from.path, hostPath: from.hostPath, format: from.format, target: to },
    worker.log,
  );
  await cloneImage(from, to, {
    signal: worker.signal,
    onProgress: (done, total) => report(done / total),
  });
  report(1);
  return { ...drive, file: volid, size: formatDiskSize(size) };
}

async function linkDrive({ world, plan, worker, created }: CloneWork, drive: Drive): Promise<Drive> {
  const base = world.storages.locate(drive.file ?? "");
  const name = await newVolume(world, base.storage.id, plan.newid, "qcow2");
  const target = world.storages.locate(name);
  const size = (await world.storages.describe(base.volid))?.size ?? 0;
  const below = relative(dirname(target.path), base.path);
  const images = `${plan.newid} to ${target.file}`;
  worker.log(`clone ${base.vmid}/${base.file}: images, ${target.file}, ${images} (base=${below})`);
  worker.log(linkedFormattingLine(target.path, size, { file: below, format: base.format }));
  created.push(name);
  await linkImage(base, target);
  const volid = `${base.storage.id}:${base.vmid}/${base.file}/${plan.newid}/${target.file}`;
  return { ...drive, file: volid, size: formatDiskSize(size) };
}

function withUuid(smbios: string | undefined): string {
  const rest = (smbios ?? "").split(",").filter((part) => part !== "" && !part.startsWith("uuid="));
  return [`uuid=${randomUUID()}`, ...rest].join(",");
}
