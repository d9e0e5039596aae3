import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatBytes, type Transferred, transferLine } from "../../lib/progress.ts";

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;

for (const [bytes, text] of [
  [0, "0 B"],
  [1023, "1023 B"],
  [1024, "1.0 KiB"],
  [1536, "1.5 KiB"],
  [102_350, "100 KiB"],
  [100 * 1024, "100 KiB"],
  [1024 * 1024 - 1, "1.0 MiB"],
  [2_147_483_648, "2.0 GiB"],
  [5 * 1024 * GIB, "5.0 TiB"],
  [5000 * 1024 * GIB, "5000 TiB"],
] as const) {
  test(`${bytes} bytes are ${text}`, () => assert.equal(formatBytes(bytes), text));
}

const cases: readonly (readonly [string, Transferred, string])[] = [
  [
    "bytes, share, rate and time left",
    { bytes: 412 * MIB, total: 2 * GIB, seconds: 4 },
    "412 MiB of 2.0 GiB · 20 % · 103 MiB/s · 16.0 s left",
  ],
  ["no rate before there is one", { bytes: MIB, total: 4 * MIB, seconds: 0.2 }, "1.0 MiB of 4.0 MiB · 25 %"],
  ["no share of an unknown size", { bytes: 3 * MIB, seconds: 2 }, "3.0 MiB · 1.5 MiB/s"],
  [
    "no time left at the end",
    { bytes: MIB, total: MIB, seconds: 2 },
    "1.0 MiB of 1.0 MiB · 100 % · 512 KiB/s",
  ],
  ["no time left while nothing comes", { bytes: 0, total: MIB, seconds: 9 }, "0 B of 1.0 MiB · 0 % · 0 B/s"],
  ["nothing of nothing", { bytes: 0, total: 0, seconds: 0 }, "0 B of 0 B"],
];
for (const [what, transferred, line] of cases) {
  test(`a transfer shows ${what}`, () => assert.equal(transferLine(transferred), line));
}

test("no transfer shows what is not a number", () => {
  const amount = fc.nat({ max: Number.MAX_SAFE_INTEGER });
  const time = fc.double({ min: 0, max: 1e6, noNaN: true });
  fc.assert(
    fc.property(amount, fc.option(amount, { nil: undefined }), time, (bytes, total, seconds) => {
      assert.doesNotMatch(transferLine({ bytes, total, seconds }), /NaN|Infinity|undefined|-\d/);
    }),
  );
});
