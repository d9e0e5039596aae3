import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { measure, median, ROOT } from "./measure.ts";

const PAIRS = 15;

/** `--help` of a task beside an empty zx script, one after the other so that both see the same machine. */
export async function startup(): Promise<string[]> {
  // Inside the repository, so that both find the same packages.
  const dir = mkdtempSync(join(ROOT, ".homelab-bench-"));
  const empty = join(dir, "empty.ts");
  writeFileSync(empty, 'import "zx/globals";\n');
  try {
    const help = ["tsx", "tasks/preflight.ts", "--help"];
    const base: number[] = [];
    const task: number[] = [];
    const ratio: number[] = [];
    for (let pair = 0; pair < PAIRS; pair += 1) {
      const one = (await measure("npx", ["tsx", empty])).seconds;
      const other = (await measure("npx", help)).seconds;
      base.push(one);
      task.push(other);
      ratio.push(other / one);
    }
    return [
      `npx tsx EMPTY_ZX_SCRIPT              median ${median(base).toFixed(2)} s of ${PAIRS}`,
      `npx tsx tasks/preflight.ts --help    median ${median(task).toFixed(2)} s of ${PAIRS}`,
      `ratio, paired                        median ${median(ratio).toFixed(2)} (at most 1.50)`,
    ];
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
