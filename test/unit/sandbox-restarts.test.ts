import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import { Restarts } from "../../lib/sandbox/gitops/restarts.ts";

/** When the sandbox starts Argo CD's controllers again, by a clock that the test moves. */

let now: number;
let restarts: Restarts;

beforeEach(() => {
  now = 5_000;
  restarts = new Restarts(() => now);
});

/** Milliseconds until a start is due. */
function delay(): number {
  const before = now;
  while (!restarts.due) now += 500;
  const waited = now - before;
  now = before;
  return waited;
}

/** Fail as soon as it is due, some times. */
function failTimes(times: number): number[] {
  return Array.from({ length: times }, () => {
    restarts.failed();
    const waited = delay();
    now += waited;
    return waited;
  });
}

describe("restarts", () => {
  test("the first start is due at once", () => {
    assert.equal(restarts.due, true);
  });

  test("come later each time, but not later than half a minute", () => {
    assert.deepEqual(failTimes(7), [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  });

  test("come later as well where a start succeeds and what was started ends soon", () => {
    failTimes(3);
    restarts.started();
    now += 60_000;
    assert.deepEqual(failTimes(1), [8_000]);
  });

  test("begin anew after ten minutes without a failure: those of other days do not count", () => {
    failTimes(6);
    restarts.started();
    now += 600_000;
    assert.deepEqual(failTimes(2), [1_000, 2_000]);
  });

  test("time before a start that failed is no time that something ran", () => {
    restarts.started();
    failTimes(2);
    now += 600_000;
    assert.deepEqual(failTimes(1), [4_000]);
  });

  test("begin anew when what failed is no longer wanted", () => {
    failTimes(4);
    restarts.failed();
    restarts.forget();
    assert.equal(restarts.due, true);
    assert.deepEqual(failTimes(1), [1_000]);
  });

  test("a wait is no failure", () => {
    restarts.wait(3_000);
    assert.equal(delay(), 3_000);
    now += 3_000;
    assert.deepEqual(failTimes(1), [1_000]);
  });
});
