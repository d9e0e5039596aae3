/** Checks: what each has to tell, choosing among them, and running them side by side. */
export {
  type Check,
  type CheckControl,
  type CheckResult,
  type Finding,
  type FindingState,
  type Repair,
  Unavailable,
} from "./check.ts";
export { type CheckRules, checkSteps } from "./run.ts";
export { type Selection, selectChecks } from "./select.ts";
