import assert from "node:assert/strict";
import { after, test } from "node:test";
import { killTest } from "../kill/run.ts";

/**
 * A task that is killed at any point can be run again and reaches the same end. Ten kills, always the same ones;
 * `npm run test:kill -- --kills N --seed S` makes as many as one likes.
 */

const KILLS = 10;
const SEED = 20_260_101;
/** However busy the machine is. */
const TIMEOUT_MS = 3_600_000;

const lines: string[] = [];
after(() => {
  for (const line of lines) process.stdout.write(`# ${line.replaceAll("\n", "\n# ")}\n`);
});

test("deployments that are killed and run again end as an undisturbed one does", {
  timeout: TIMEOUT_MS,
}, async () => {
  const outcomes = await killTest({ kills: KILLS, seed: SEED, say: (line) => void lines.push(line) });
  assert.equal(outcomes.length, KILLS);
  assert.deepEqual(
    outcomes.flatMap(({ kill, failures }) => failures.map((failure) => `${kill.step}: ${failure}`)),
    [],
  );
});
