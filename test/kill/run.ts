import { parseArgs } from "node:util";
import { differences, type FinalState, finalState } from "./final-state.ts";
import { type Kill, leavesOf, planKills } from "./plan.ts";
import { type Descendant, startedBy } from "./processes.ts";
import { KillWorld } from "./world.ts";

/**
 * Kills deployments and runs them again: run.ts [--kills N] [--seed S] [--step WORDS]
 * Each kill is told as it is over, one line each; the last line is "N survived, N failed".
 */

const SETTLE_MS = 60_000;

/** How a kill went. */
export interface Outcome {
  readonly kill: Kill;
  /** What the killed run had left: processes, files, locks. */
  readonly left: string;
  readonly rerun: string;
  /** Empty when the end is that of an undisturbed run. */
  readonly failures: readonly string[];
}

export interface KillTest {
  readonly kills: number;
  readonly seed: number;
  /** Only steps whose titles hold these words. */
  readonly step?: string | undefined;
  say(line: string): void;
}

/** Kill that many deployments. @returns what became of each */
export async function killTest({ kills, seed, step = "", say }: KillTest): Promise<Outcome[]> {
  const world = new KillWorld();
  const outcomes: Outcome[] = [];
  try {
    await world.prepare();
    await world.reset();
    await world.sandbox();
    const undisturbed = await world.deploy();
    if (undisturbed.exitCode !== 0) throw new Error(`the undisturbed run failed:\n${undisturbed.stderr}`);
    const expected = await finalState(world);
    const leaves = leavesOf(undisturbed.events).filter((leaf) => leaf.step.includes(step));
    say(`seed ${seed}; ${leaves.length} steps; ${kills} kills`);
    for (const kill of planKills(leaves, kills, seed)) {
      const started = performance.now();
      const outcome = await survive(world, kill, expected);
      outcomes.push(outcome);
      say(lineOf(outcome, performance.now() - started));
    }
    return outcomes;
  } finally {
    await world.remove();
  }
}

async function survive(world: KillWorld, kill: Kill, expected: FinalState): Promise<Outcome> {
  await world.reset();
  if (kill.victim !== "task, own sandbox") await world.sandbox();
  const killed = await world.killedDeploy(kill);
  if (killed.exitCode !== null) {
    const failures = [`it was not killed: it ended with ${killed.exitCode}: ${killed.stderr.slice(-300)}`];
    return { kill, left: "", rerun: "", failures };
  }
  const mark = world.lastRun;
  const left = shortly(startedBy(mark), world.temporaryFiles());
  if (kill.victim !== "task, own sandbox") await world.sandbox();
  const rerun = await world.deploy();
  const ended = rerun.exitCode === 0 ? "0" : `${rerun.exitCode}`;
  if (rerun.exitCode !== 0) {
    return { kill, left, rerun: ended, failures: [`the rerun failed: ${rerun.stderr.slice(-1500)}`] };
  }
  const failures = await settled(async () => [
    ...differences(expected, await finalState(world)),
    ...[mark, world.lastRun].flatMap((run) => startedBy(run).map(({ command }) => `still runs: ${command}`)),
    ...world.temporaryFiles().map((name) => `left in the temporary folder: ${name}`),
  ]);
  const leftovers = await world.task("leftovers", ["--sandbox", "--json", "--yes"]);
  const { found } = (leftovers.events.at(-1) ?? {}) as { found?: { name: string }[] };
  if (found === undefined) failures.push(`leftovers failed: ${leftovers.stderr.slice(-500)}`);
  return {
    kill,
    left,
    rerun: ended,
    failures: [...failures, ...(found ?? []).map(({ name }) => `leftovers found ${name}`)],
  };
}

/** Controllers and connections need their time: what does not pass is a failure. */
async function settled(look: () => Promise<string[]>): Promise<string[]> {
  for (const deadline = performance.now() + SETTLE_MS; ; ) {
    const failures = await look().catch((error: unknown) => [`cannot be compared: ${String(error)}`]);
    if (failures.length === 0 || performance.now() > deadline) return failures;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

function shortly(processes: readonly Descendant[], files: readonly string[]): string {
  const names = processes.map(({ command }) => command.split(" ")[0]?.split("/").at(-1) ?? "");
  return [...new Set([...names, ...files.map((name) => name.replace(/-\d+-\d+-[0-9a-f]{4}-\w+$/, ""))])].join(
    " ",
  );
}

function lineOf({ kill, left, rerun, failures }: Outcome, ms: number): string {
  const { number, step, afterMs, victim } = kill;
  const where = `${step}${afterMs === 0 ? "" : ` + ${afterMs} ms`}`;
  const result = failures.length === 0 ? "identical" : `FAILED\n      ${failures.join("\n      ")}`;
  return `${String(number).padStart(3)}  ${victim}  ${where} | left: ${left || "nothing"} | rerun: ${rerun || "none"} | ${result} (${(ms / 1000).toFixed(0)} s)`;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { kills: { type: "string" }, seed: { type: "string" }, step: { type: "string" } },
  });
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
  const kills = values.kills === undefined ? 100 : Number(values.kills);
  const started = performance.now();
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  const outcomes = await killTest({ kills, seed, step: values.step, say });
  const failed = outcomes.filter(({ failures }) => failures.length > 0).length;
  say(`seed ${seed}, ${((performance.now() - started) / 60_000).toFixed(1)} min`);
  say(`${outcomes.length - failed} survived, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

if (process.argv[1] === import.meta.filename) process.exitCode = await main();
