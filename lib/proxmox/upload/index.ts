/** How an image becomes a template over SSH: the single deeds, whose order the task knows. */
export { manualSteps } from "./by-hand.ts";
export { keepMetadata } from "./metadata-file.ts";
export { demandFirst, sameTemplate } from "./names.ts";
export { demandNode, demandRoom } from "./node.ts";
export { previewPlan, printable, UPLOAD_FOLDER } from "./place.ts";
export { demandArrived, hashFile, send } from "./transfer.ts";
export { createFree, demandImported } from "./vm.ts";
