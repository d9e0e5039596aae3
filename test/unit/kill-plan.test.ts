import assert from "node:assert/strict";
import { test } from "node:test";
import { leavesOf, planKills } from "../kill/plan.ts";

const leaves = Array.from({ length: 12 }, (_, at) => ({ step: `step ${at}`, ms: 10 * (at + 1) }));

test("the same seed chooses the same kills, another one others", () => {
  assert.deepEqual(planKills(leaves, 30, 7), planKills(leaves, 30, 7));
  assert.notDeepEqual(planKills(leaves, 30, 7), planKills(leaves, 30, 8));
});

test("with kills enough, each boundary has its own, and the rest are moments within a step's time", () => {
  const kills = planKills(leaves, 100, 7);
  assert.deepEqual(
    kills.map(({ number }) => number),
    Array.from({ length: 100 }, (_, at) => at + 1),
  );
  const boundaries = kills.filter(({ afterMs }) => afterMs === 0);
  assert.deepEqual(boundaries.map(({ step }) => step).sort(), leaves.map(({ step }) => step).sort());
  for (const { step, afterMs } of kills) {
    assert.ok(afterMs <= (leaves.find((leaf) => leaf.step === step)?.ms ?? 0), `${step} + ${afterMs}`);
  }
  assert.equal(new Set(kills.map(({ victim }) => victim)).size, 4);
});

test("few kills are half of them boundaries", () => {
  assert.equal(planKills(leaves, 10, 7).filter(({ afterMs }) => afterMs === 0).length, 5);
});

test("steps with steps of their own, and those that were skipped, are none to be killed in", () => {
  const step = (title: string, state: string, within: string[], ms = 0) => ({
    event: "step",
    title,
    state,
    within,
    ms,
  });
  const events = [
    step("a", "started", []),
    step("b", "started", ["a"]),
    step("b", "done", ["a"], 5),
    step("c", "skipped", ["a"]),
    step("a", "done", [], 6),
    step("d", "done", [], 7),
    { event: "result", ok: true },
  ];
  assert.deepEqual(leavesOf(events), [
    { step: "a › b", ms: 5 },
    { step: "d", ms: 7 },
  ]);
});
