/** What runs that did not end well have left on a node: finding it, and removing it where nobody is at work with it. */
export { leftoversByApi, type Surroundings } from "./by-api.ts";
export { isUploadLocked, leftoversBySsh } from "./by-ssh.ts";
export type { Leftover } from "./leftover.ts";
export { sameVm } from "./same-vm.ts";
