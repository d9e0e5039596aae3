export {
  type PlanOptions,
  type Progress,
  type SavedPlan,
  Tofu,
  type TofuOptions,
  type VariableValue,
} from "./cli.ts";
export { declaredValues } from "./declared.ts";
export { describePlan, describeProgress, titleOf } from "./describe.ts";
export { demandPassphrase, type StateProtection, stateProtection } from "./encryption.ts";
export { environmentDirectory, environmentPlaces, listEnvironments, varFiles } from "./environments.ts";
export type { TofuEvent } from "./events.ts";
export { type FormatOptions, unformatted } from "./format.ts";
export {
  addressesToClaim,
  type Guest,
  lossesIn,
  type NodePlaces,
  nameOf,
  needsGuests,
  refuseConflicts,
  refuseLosses,
  refuseMissingPlaces,
  refuseShrinking,
} from "./guards.ts";
export { beingCloned, halfMade } from "./half-made.ts";
export { type Interrupted, interrupted } from "./interrupted.ts";
export { type BegunRun, Journal } from "./journal.ts";
export { leftovers } from "./leftovers.ts";
export { untilOrphansEnd } from "./orphans.ts";
export { type EnvironmentOutputs, parseOutputs } from "./outputs.ts";
export { type Plan, type PlannedAction, type PlannedChange, type PlannedVm, parsePlan } from "./plan.ts";
export { TofuSession } from "./session.ts";
export type { ManagedVm } from "./state.ts";
