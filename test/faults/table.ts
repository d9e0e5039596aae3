import { columns } from "../../lib/columns.ts";
import type { Verdict } from "./try-pair.ts";

/** A line for each pair: task, fault, exit code, what became of everything, whether all of it was so, seconds. */
export function tableOf(verdicts: readonly Verdict[]): string {
  const rows = verdicts.map(({ pair: { task, fault, expected }, complaints, ms }) => [
    task,
    fault.name,
    String(expected.exit),
    expected.exit !== 0 ? expected.then : expected.inPart ? "done in part" : "done",
    complaints.length === 0 ? "passed" : "FAILED",
    (ms / 1000).toFixed(1),
  ]);
  return columns([["task", "fault", "exit", "afterwards", "result", "seconds"], ...rows]).join("\n");
}
