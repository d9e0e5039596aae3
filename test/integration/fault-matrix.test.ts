import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { openPlace, PLACES, pairsOf } from "../faults/places.ts";
import { tryPair } from "../faults/try-pair.ts";
import type { FaultWorld } from "../faults/world.ts";

/**
 * What may go wrong with which task, and what comes of it: test/faults/matrix has the pairs. `npm run test:faults` tries also
 * the slow ones, and ends with a table.
 */

describe("the fault matrix", { concurrency: PLACES.length }, () => {
  for (const place of PLACES) {
    describe(`pairs that share a sandbox: ${place}`, { concurrency: 1 }, () => {
      let world: FaultWorld;
      before(async () => {
        world = await openPlace(place);
      });
      after(async () => await world?.stop());

      for (const pair of pairsOf(place).filter(({ slow }) => !slow)) {
        test(`${pair.task} · ${pair.fault.name}`, async () => {
          const { complaints, shown } = await tryPair(world, pair);
          assert.deepEqual(complaints, [], shown);
        });
      }
    });
  }
});
