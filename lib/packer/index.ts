/** Packer: a build, followed phase by phase; QEMU on this machine; the way back to it; checks of its files. */
export { type RunningBuild, startBuild } from "./build.ts";
export { BuildRecord } from "./build-record.ts";
export { type Manifest, readManifest } from "./manifest.ts";
export { buildPhases, type Phase } from "./phases.ts";
export { findQemu, type QemuHost } from "./qemu.ts";
export {
  type PackerDirectory,
  packerDirectories,
  unformattedPacker,
  validatePacker,
  withoutPlugin,
} from "./validate.ts";
export { addressTowards, doubtsAbout } from "./way-back.ts";
