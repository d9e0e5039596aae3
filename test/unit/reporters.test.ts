import assert from "node:assert/strict";
import { test } from "node:test";
import { DrawnTitle } from "../../lib/task/drawn-title.ts";
import { formatDuration } from "../../lib/task/index.ts";
import { JsonReporter, PlainReporter } from "../../lib/task/reporters.ts";

test("PlainReporter writes a heading before a step's own steps and one line for each that ends", () => {
  const lines: string[] = [];
  const reporter = new PlainReporter((line) => lines.push(line));
  reporter.step({ title: "Image", depth: 0, within: [], state: "started", ms: 0 });
  reporter.step({
    title: "Check",
    depth: 1,
    within: ["Image"],
    state: "skipped",
    ms: 0,
    reason: "done before",
  });
  reporter.step({ title: "Upload", depth: 1, within: ["Image"], state: "started", ms: 0 });
  reporter.output("50 %", 2);
  reporter.step({ title: "Upload", depth: 1, within: ["Image"], state: "done", ms: 1234 });
  reporter.step({ title: "Image", depth: 0, within: [], state: "failed", ms: 20 });
  assert.deepEqual(lines, ["▸ Image", "  ↓ Check: done before", "  ✔ Upload (1.2 s)", "✖ Image"]);
});

test("PlainReporter keeps steps that run side by side apart", () => {
  const lines: string[] = [];
  const reporter = new PlainReporter((line) => lines.push(line));
  const parent = { title: "Check", depth: 0, within: [] };
  const one = { title: "one", depth: 1, within: ["Check"] };
  const other = { title: "other", depth: 1, within: ["Check"] };
  const part = { title: "part of one", depth: 2, within: ["Check", "one"] };
  for (const step of [parent, one, other]) reporter.step({ ...step, state: "started", ms: 0 });
  for (const step of [part, other, one, parent]) reporter.step({ ...step, state: "done", ms: 0 });
  assert.deepEqual(lines, ["▸ Check", "  ▸ one", "    ✔ part of one", "  ✔ other", "  ✔ one", "✔ Check"]);
});

test("steps with a name have their time in a column, and what is not as it should be after it", () => {
  const lines: string[] = [];
  const reporter = new PlainReporter((line) => lines.push(line));
  const step = { depth: 1, within: [], state: "done" } as const;
  reporter.step({ ...step, title: "Files", name: "fmt", ms: 7 }, "fmt   Files    ");
  reporter.step(
    { ...step, title: "Settings", name: "env", ms: 1234, warning: "2 warnings" },
    "env   Settings ",
  );
  reporter.step(
    { ...step, title: "Node", name: "node", state: "skipped", ms: 0, reason: "needs it" },
    "node  Node ",
  );
  reporter.step({ ...step, title: "Old", ms: 7, warning: "a warning" });
  assert.deepEqual(lines, [
    "  ✔ fmt   Files        7 ms",
    "  ⚠ env   Settings    1.2 s  2 warnings",
    "  ↓ node  Node   needs it",
    "  ⚠ Old: a warning",
  ]);
  const task: { title?: string | undefined } = {};
  const title = new DrawnTitle(task, "fmt   Files", true);
  title.took(7, "a warning");
  assert.match(task.title ?? "", /^fmt {3}Files {4}7 ms .*⚠ a warning/);
});

test("DrawnTitle keeps a step's notes below its title and adds the time that is worth saying", () => {
  const task: { title?: string | undefined } = {};
  const title = new DrawnTitle(task, "Plan");
  title.note("+ VM k3s-s1\n  4 cores");
  assert.equal(task.title, "Plan\n+ VM k3s-s1\n  4 cores");
  title.took(999);
  assert.equal(task.title, "Plan\n+ VM k3s-s1\n  4 cores");
  title.took(1400);
  assert.equal(task.title, "Plan [1.4 s]\n+ VM k3s-s1\n  4 cores");
});

test("JsonReporter writes one object a line and no progress", () => {
  const lines: string[] = [];
  const reporter = new JsonReporter((line) => lines.push(line));
  reporter.step({ title: "Upload", depth: 0, within: [], state: "done", ms: 7 });
  reporter.output();
  reporter.note("mind the gap");
  assert.deepEqual(
    lines.map((line) => JSON.parse(line)),
    [
      { event: "step", title: "Upload", depth: 0, within: [], state: "done", ms: 7 },
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
