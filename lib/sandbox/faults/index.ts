/** What fails on purpose. */
export { type FaultControl, faultControl, type StruckFault } from "./control.ts";
export { Faults } from "./faults.ts";
export { readFaults } from "./read.ts";
export { type EffectOf, type FaultRule, networkDelay } from "./rules.ts";
export { type Shape, Shaped } from "./shaped.ts";
