/** Packer: a build, followed phase by phase; QEMU on this machine; the way back to it. */
export { type RunningBuild, startBuild } from "./build.ts";
export { buildPhases, type Phase } from "./phases.ts";
export { findQemu, type QemuHost } from "./qemu.ts";
export { addressTowards, doubtsAbout } from "./way-back.ts";
