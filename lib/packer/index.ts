/** Packer: a build, followed phase by phase. */
export { type PackerBuild, packerEnv, type RunningBuild, startBuild } from "./build.ts";
export { buildPhases, type Phase } from "./phases.ts";
