import type { Pair } from "./pair.ts";
import { openPlace, PLACES, type Place, pairsOf } from "./places.ts";
import { tableOf } from "./table.ts";
import { tryPair, type Verdict } from "./try-pair.ts";

/**
 * Tries the fault matrix: test/faults/run.ts [--show] [WORD…]
 * With WORDs only pairs whose "TASK · FAULT" contains one of them, or whose task is one; --show prints what a task said.
 */

async function main(args: readonly string[]): Promise<number> {
  const show = args.includes("--show");
  const words = args.filter((arg) => arg !== "--show");
  const isWanted = ({ task, fault }: Pair): boolean =>
    words.length === 0 || words.some((word) => task === word || `${task} · ${fault.name}`.includes(word));
  const lists = await Promise.all(
    PLACES.map(async (place) => await inPlace(place, isWanted, (verdict) => tell(verdict, show))),
  );
  const verdicts = lists.flat();
  const failed = verdicts.filter(({ complaints }) => complaints.length > 0).length;
  process.stdout.write(`\n${tableOf(verdicts)}\n\n${verdicts.length - failed} passed, ${failed} failed\n`);
  return failed === 0 && verdicts.length > 0 ? 0 : 1;
}

async function inPlace(
  place: Place,
  isWanted: (pair: Pair) => boolean,
  told: (verdict: Verdict) => void,
): Promise<Verdict[]> {
  const pairs = pairsOf(place).filter(isWanted);
  if (pairs.length === 0) return [];
  const world = await openPlace(place);
  const verdicts: Verdict[] = [];
  try {
    for (const pair of pairs) {
      const verdict = await tryPair(world, pair);
      verdicts.push(verdict);
      told(verdict);
    }
  } finally {
    await world.stop();
  }
  return verdicts;
}

function tell({ pair: { task, fault }, complaints, shown }: Verdict, show: boolean): void {
  const state = complaints.length === 0 ? "passed" : "FAILED";
  const lines = [
    `${state}  ${task} · ${fault.name}`,
    ...complaints.map((complaint) => complaint.replace(/^/gm, "        ")),
    ...(show || complaints.length > 0 ? [shown.replace(/^/gm, "        | ")] : []),
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

process.exitCode = await main(process.argv.slice(2));
