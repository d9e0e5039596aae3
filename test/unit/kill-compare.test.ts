import assert from "node:assert/strict";
import { test } from "node:test";
import { differences } from "../kill/final-state.ts";

test("the order of keys is no difference; values, and what is missing or too much, are", () => {
  const state = { VM: { config: { cores: 4, tags: ["a", "b"] }, status: "running" }, files: ["x"] };
  const same = { files: ["x"], VM: { status: "running", config: { tags: ["a", "b"], cores: 4 } } };
  assert.deepEqual(differences(state, same), []);
  assert.match(
    differences(state, { ...same, VM: { status: "stopped", config: same.VM.config } })[0] ?? "",
    /^VM: .*"stopped".* instead of .*"running"/,
  );
  assert.equal(differences(state, { ...same, files: ["x", "y"] }).length, 1);
  assert.equal(
    differences(state, { ...same, VM: { ...same.VM, config: { tags: ["b", "a"], cores: 4 } } }).length,
    1,
  );
  assert.deepEqual(differences(state, { VM: same.VM }), ["files is missing"]);
  assert.deepEqual(differences(state, { ...same, more: 1 }), ["more is there, too"]);
});
