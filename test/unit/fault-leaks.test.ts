import assert from "node:assert/strict";
import { test } from "node:test";
import { leaks } from "../faults/leaks.ts";

const SECRET = "3f0c1f5e-7a55-4c1e-9d3a-0a1b2c3d4e5f";

test("the fault matrix finds a token's secret that is written down nowhere", () => {
  assert.deepEqual(leaks([], { stdout: "", stderr: `made ${SECRET}` }), [
    "what may be a token's secret stands in stderr: 3f0c…",
  ]);
  assert.deepEqual(leaks([], { argv: SECRET.toUpperCase() }).length, 1);
});

test("the fault matrix finds secrets that it knows, in any form, once in each place", () => {
  const places = { stdout: `a passphrase, ${SECRET} ${SECRET}`, stderr: "nothing" };
  assert.deepEqual(leaks(["a passphrase", SECRET], places), [
    "a secret stands in stdout",
    "a secret stands in stdout",
  ]);
});

test("the fault matrix takes placeholders and what is known to be harmless for no secrets", () => {
  const places = { stdout: `PM_API_TOKEN_SECRET=00000000-0000-4000-8000-000000000000 uid ${SECRET}` };
  assert.deepEqual(leaks([], places, new Set([SECRET])), []);
});
