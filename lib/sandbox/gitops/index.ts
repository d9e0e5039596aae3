/** Argo CD's real controllers in the sandbox. */
export { endLeftControllers, GitOps } from "./gitops.ts";
export { locateGitOpsPrograms, type MissingProgram } from "./programs.ts";
export { type RunningControllers, runningControllers } from "./record.ts";
