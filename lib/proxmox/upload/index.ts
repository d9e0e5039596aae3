/** How an image becomes a template, over SSH or by the API: the single deeds, whose order the task knows. */
export { bytesAfter, type Content, readContent } from "./content.ts";
export { interruptedUploads } from "./interrupted.ts";
export { marked } from "./mark.ts";
export { keepMetadata } from "./metadata-file.ts";
export { sameTemplate } from "./names.ts";
export { LOCK_TAKEN, type NodeLock } from "./node-lock.ts";
export { ApiWay } from "./over-api.ts";
export { SshWay } from "./over-ssh.ts";
export { previewPlan, printable, UPLOAD_FOLDER, uploadPath } from "./place.ts";
export { demandArrived, send } from "./transfer.ts";
export { createFree, demandImported, demandOwn, finishNotes, type OwnVm, removeInterrupted } from "./vm.ts";
export type { Deed, UploadWay } from "./way.ts";
