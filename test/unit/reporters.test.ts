import assert from "node:assert/strict";
import { test } from "node:test";
import { formatDuration } from "../../lib/task/index.ts";
import { JsonReporter, PlainReporter } from "../../lib/task/reporters.ts";

test("PlainReporter writes a heading before a step's own steps and one line for each that ends", () => {
  const lines: string[] = [];
  const reporter = new PlainReporter((line) => lines.push(line));
  reporter.step({ title: "Image", depth: 0, state: "started", ms: 0 });
  reporter.step({ title: "Check", depth: 1, state: "skipped", ms: 0, reason: "done before" });
  reporter.step({ title: "Upload", depth: 1, state: "started", ms: 0 });
  reporter.output("50 %", 2);
  reporter.step({ title: "Upload", depth: 1, state: "done", ms: 1234 });
  reporter.step({ title: "Image", depth: 0, state: "failed", ms: 20 });
  assert.deepEqual(lines, ["▸ Image", "  ↓ Check: done before", "  ✔ Upload (1.2 s)", "✖ Image"]);
});

test("JsonReporter writes one object a line and no progress", () => {
  const lines: string[] = [];
  const reporter = new JsonReporter((line) => lines.push(line));
  reporter.step({ title: "Upload", depth: 0, state: "done", ms: 7 });
  reporter.output();
  reporter.note("mind the gap");
  assert.deepEqual(
    lines.map((line) => JSON.parse(line)),
    [
      { event: "step", title: "Upload", depth: 0, state: "done", ms: 7 },
      { event: "note", text: "mind the gap" },
    ],
  );
});

for (const [ms, text] of [
  [7, "7 ms"],
  [1234, "1.2 s"],
  [59_949, "59.9 s"],
  [59_960, "1 min 0 s"],
  [75_000, "1 min 15 s"],
] as const) {
  test(`formatDuration(${ms}) is ${text}`, () => assert.equal(formatDuration(ms), text));
}
