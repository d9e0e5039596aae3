import assert from "node:assert/strict";
import * as v from "valibot";
import type { RunResult } from "../../lib/process.ts";
import { eventsOf } from "./working-copy.ts";

const resultSchema = v.object({
  event: v.literal("result"),
  ok: v.boolean(),
  passed: v.number(),
  warned: v.number(),
  unavailable: v.number(),
  skipped: v.number(),
  failed: v.number(),
  checks: v.array(
    v.object({
      name: v.string(),
      title: v.string(),
      needs: v.array(v.string()),
      state: v.picklist(["passed", "warning", "unavailable", "failed", "skipped"]),
      ms: v.number(),
      reason: v.optional(v.string()),
      findings: v.array(
        v.object({
          state: v.picklist(["ok", "warning", "unavailable", "failed"]),
          evidence: v.string(),
          fix: v.array(v.string()),
          missing: v.optional(v.string()),
        }),
      ),
    }),
  ),
});
export type PreflightResult = v.InferOutput<typeof resultSchema>;

/** What a run with --json came to. */
export const resultOf = (ended: RunResult): PreflightResult => v.parse(resultSchema, eventsOf(ended).at(-1));
export const byName = (result: PreflightResult, name: string): PreflightResult["checks"][number] =>
  result.checks.find((each) => each.name === name) ?? assert.fail(`there is no check ${name}`);
