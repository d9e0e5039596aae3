import * as v from "valibot";
import { type Diagnostic, DiagnosticSchema } from "./diagnostics.ts";

const HookSchema = v.object({
  resource: v.object({ addr: v.string() }),
  action: v.optional(v.string()),
  elapsed_seconds: v.optional(v.number()),
  id_value: v.optional(v.string()),
});

const LineSchema = v.variant("type", [
  v.object({ type: v.literal("diagnostic"), diagnostic: DiagnosticSchema }),
  v.object({
    type: v.picklist(["apply_start", "apply_progress", "apply_complete", "apply_errored"]),
    hook: HookSchema,
  }),
  v.object({ type: v.picklist(["refresh_start", "refresh_complete"]), hook: HookSchema }),
]);

/** What a line of `tofu … -json` tells. */
export type TofuEvent =
  | { readonly kind: "diagnostic"; readonly diagnostic: Diagnostic }
  | {
      readonly kind: "resource";
      readonly address: string;
      /** What is done to it: "create", "update", "delete", "read", "refresh". */
      readonly action: string;
      readonly state: "started" | "running" | "done" | "failed";
      readonly seconds?: number;
    };

const STATES = {
  apply_start: "started",
  apply_progress: "running",
  apply_complete: "done",
  apply_errored: "failed",
  refresh_start: "started",
  refresh_complete: "done",
} as const;

/**
 * Read one line of the streaming output.
 * @returns undefined for a line that tells nothing a person waits for
 * @see https://opentofu.org/docs/internals/machine-readable-ui/
 */
export function parseEvent(line: string): TofuEvent | undefined {
  if (!line.startsWith("{")) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    return undefined;
  }
  const { success, output } = v.safeParse(LineSchema, json);
  if (!success) return undefined;
  if (output.type === "diagnostic") return { kind: "diagnostic", diagnostic: output.diagnostic };
  const { resource, action, elapsed_seconds } = output.hook;
  return {
    kind: "resource",
    address: resource.addr,
    action: action ?? "refresh",
    state: STATES[output.type],
    ...(elapsed_seconds === undefined ? {} : { seconds: elapsed_seconds }),
  };
}
