/** What the node does with VMs, disks and storages. The API's routes and `qm` are thin shells around it. */

export { demandVolume } from "./allocate.ts";
export { type ClonePlan, clone, planClone } from "./clone.ts";
export { addressOf, type CloudInitPart, cloudInitOptions, cloudInitPart, sshKeysOf } from "./cloud-init.ts";
export { type Operation, vmOf } from "./context.ts";
export { checkCreate, create, reserve } from "./create.ts";
export { checkDestroy, destroyVm } from "./destroy.ts";
export {
  checkMove,
  type ImportRequest,
  importDisk,
  type MoveRequest,
  moveDisk,
  resizeDisk,
} from "./disks.ts";
export { download } from "./download.ts";
export { hasIso } from "./drives.ts";
export { demandRunning, rebootVm, resetVm, resumeAll, shutdownVm, startVm, stopVm } from "./power.ts";
export { presentConfig, presentPending } from "./present.ts";
export { sendKey } from "./send-key.ts";
export { type Checksum, type FileRequest, importUpload, placeOf } from "./storage-file.ts";
export { checkTemplate, makeTemplate } from "./template.ts";
export { type ConfigChange, checkChange, updateConfig } from "./update-config.ts";
export { agentEnabled, currentStatus, fullStatus, listedVm, resourceOf } from "./vm-status.ts";
export { formattingLine } from "./wording.ts";
