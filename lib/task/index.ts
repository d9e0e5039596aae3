export { formatDuration } from "../duration.ts";
export { alone, holding } from "./alone.ts";
export { hasTerminal } from "./ask.ts";
export { type Command, defineCommand, type TaskContext } from "./command.ts";
export { sameRun } from "./failure.ts";
export { main, ROOT } from "./main.ts";
export { sandboxSettings } from "./sandbox-settings.ts";
export type { Reporter, Step, StepControl, StepEvent } from "./step.ts";
