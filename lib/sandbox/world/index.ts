/** The state of the embedded node, on disk. */
export {
  AccessControl,
  type AccessData,
  type AclEntry,
  type ApiToken,
  hashSecret,
  prefixesOf,
  SUPERUSER,
  type Subject,
  type User,
} from "./access.ts";
export { readIfThere, removeIfThere, writeFileAtomic, writeJsonAtomic } from "./atomic-file.ts";
export type { Interference, TaskFault } from "./interference.ts";
export { LockTimeoutError } from "./mutex.ts";
export { NodeFiles, OutsideNodeError } from "./node-files.ts";
export { openWorld, type WorldOptions, type WorldPlan } from "./open.ts";
export { createQcow2, ImageError, type ImageInfo, inspectImage } from "./qcow2.ts";
export type { PveRelease } from "./release.ts";
export { asIn, isPrivilege, type Privilege, privilegesOf } from "./roles.ts";
export { type LocatedVolume, StorageError, type StorageStore } from "./storages.ts";
export type { TaskRequest, TaskStore, Worker } from "./tasks.ts";
export type {
  ContentType,
  GuestVm,
  RunningVm,
  Storage,
  Task,
  Vm,
  VmConfig,
  Volume,
} from "./types.ts";
export { parseUpid } from "./upid.ts";
export { guestOf, isTemplate, nameOf, type VmStore } from "./vms.ts";
export { parseVolumeId } from "./volume-id.ts";
export {
  cloneImage,
  createImage,
  freeDiskName,
  growImage,
  type ImageFormat,
  importImage,
  linkedClones,
  linkImage,
  removeVolume,
  toBase,
} from "./volumes.ts";
export type { Bridge, Hardware, World } from "./world.ts";
