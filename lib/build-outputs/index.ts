/** What tasks, and the tools that they run, leave in the working tree and make again when they need it. */
export { type BuildOutput, findBuildOutputs, type Kept } from "./find.ts";
export { removeBuildOutput } from "./remove.ts";
