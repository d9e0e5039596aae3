/** How an image becomes a template over SSH: the single deeds, whose order the task knows. */
export { manualSteps } from "./by-hand.ts";
export { bytesAfter, type Content, readContent } from "./content.ts";
export { keepMetadata } from "./metadata-file.ts";
export { demandFirst, sameTemplate } from "./names.ts";
export { demandNode, demandRoom } from "./node.ts";
export { lockUpload, type NodeLock } from "./node-lock.ts";
export { previewPlan, printable, UPLOAD_FOLDER, uploadPath } from "./place.ts";
export { markUpload, removeUpload } from "./remainder.ts";
export { arrivedBytes, demandArrived, send } from "./transfer.ts";
export { createFree, demandImported } from "./vm.ts";
