import { setMaxListeners } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import type { Check } from "../lib/check/index.ts";
import type { Source } from "../lib/config/index.ts";
import { networkDelay, type Sandbox, startSandbox } from "../lib/sandbox/index.ts";
import { sandboxSettings } from "../lib/task/index.ts";
import { nodeChecks } from "../tasks/preflight/node/index.ts";
import { median, ROOT } from "./measure.ts";

const PAIRS = 5;
const DELAYS = [20, 200] as const;

/**
 * preflight's checks of a node, side by side and one after the other, with the delay of a network: the same checks, with
 * the same answers and the one SSH connection shared in both.
 */
export async function preflightNode(): Promise<string[]> {
  const work = mkdtempSync(join(tmpdir(), "homelab-bench-"));
  const sandbox = await startSandbox({ dir: join(work, "sandbox") });
  try {
    const lines: string[] = [];
    // Modules are loaded before anything is measured.
    await seconds(sandbox, sideBySide);
    for (const delay of DELAYS) lines.push(...(await measured(sandbox, delay)));
    const load = loadavg()[0]?.toFixed(1);
    return [...lines, `on ${availableParallelism()} cores, with a load of ${load} at the end`];
  } finally {
    await sandbox.stop();
    rmSync(work, { recursive: true, force: true });
  }
}

async function measured(sandbox: Sandbox, delay: number): Promise<string[]> {
  const together: number[] = [];
  const inTurn: number[] = [];
  const slowest: number[] = [];
  for (let pair = 0; pair < PAIRS; pair += 1) {
    sandbox.faults.set(networkDelay(delay));
    const times: number[] = [];
    together.push(
      await seconds(
        sandbox,
        async (checks, signal) => void times.push(...(await sideBySide(checks, signal))),
      ),
    );
    slowest.push(Math.max(...times));
    sandbox.faults.set(networkDelay(delay));
    inTurn.push(await seconds(sandbox, oneAfterTheOther));
  }
  sandbox.faults.clear();
  const row = (what: string, values: readonly number[]): string =>
    `${`${delay} ms: ${what}`.padEnd(52)} median ${median(values).toFixed(2)} s of ${PAIRS}`;
  const ratio = median(inTurn.map((value, pair) => value / (together[pair] ?? value)));
  return [
    row("one after the other", inTurn),
    row("side by side", together),
    row("the slowest single check of those", slowest),
    `${`${delay} ms: side by side (at least 2.00)`.padEnd(52)} ${ratio.toFixed(2)} times as fast, paired`,
  ];
}

type Way = (checks: readonly Check[], signal: AbortSignal) => Promise<unknown>;

async function seconds(sandbox: Sandbox, way: Way): Promise<number> {
  const source: Source = { name: "the sandbox", values: sandboxSettings(sandbox) };
  const { signal } = new AbortController();
  setMaxListeners(0, signal);
  const { checks, close } = nodeChecks(ROOT, [source]);
  const started = performance.now();
  await way(checks, signal);
  const took = (performance.now() - started) / 1000;
  await close();
  return took;
}

/** @returns how long each took, in seconds */
async function sideBySide(checks: readonly Check[], signal: AbortSignal): Promise<number[]> {
  return await Promise.all(
    checks.map(async (check) => {
      const started = performance.now();
      await demandPassed(check, signal);
      return (performance.now() - started) / 1000;
    }),
  );
}

async function oneAfterTheOther(checks: readonly Check[], signal: AbortSignal): Promise<void> {
  for (const check of checks) await demandPassed(check, signal);
}

/** What fails early would be measured too short. */
async function demandPassed({ name, run }: Check, signal: AbortSignal): Promise<void> {
  const findings = await run({ signal, output: () => {} });
  const bad = findings.find(({ state }) => state !== "ok");
  if (bad !== undefined) throw new Error(`${name} did not pass: ${bad.evidence}`);
}
