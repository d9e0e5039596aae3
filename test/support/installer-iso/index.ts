/** A real build without hardware: Packer, QEMU, and an ISO of our own that plays AlmaLinux's installer. */
export { cdDevices, diskDevices, type Firmware, untilConsoleSays } from "./boot.ts";
export { type BuildRequest, type Built, buildImage, type ImageTools, imageTools, STEPS } from "./build.ts";
export { missingForBuild } from "./debian.ts";
export { type Unpacked, unpackImage } from "./disk.ts";
export { makeInstallerIso } from "./iso.ts";
export { type K3sReleases, serveK3sRelease } from "./k3s-releases.ts";
export { LOADER_LINE } from "./loader.ts";
