import { parseArgs } from "node:util";
import { differences, type FinalState, finalState } from "./final-state.ts";
import { type Kill, type Leaf, leavesOf, planKills } from "./plan.ts";
import { type Descendant, startedBy } from "./processes.ts";
import { KillWorld } from "./world.ts";

/**
 * Kills deployments and runs them again: run.ts [--kills N] [--seed S] [--step WORDS] [--chain N]
 * Each kill is told as it is over, one line each; the last line is "N survived, N failed". With --chain, the run that goes
 * on after a kill is killed in its turn, N times in all, each time later on the way, before the end is compared: that
 * takes less time for each kill, but does not tell which of them a difference comes from.
 */

const SETTLE_MS = 60_000;

/** How a kill went. */
export interface Outcome {
  readonly kill: Kill;
  /** What the killed run had left: processes, files, locks. */
  readonly left: string;
  readonly rerun: string;
  /** False where the run was quicker than its killer, or what earlier ones had left had come to its end by itself. */
  readonly reached: boolean;
  /** Empty when the end is that of an undisturbed run. */
  readonly failures: readonly string[];
}

export interface KillTest {
  readonly kills: number;
  readonly seed: number;
  /** Only steps whose titles hold these words. */
  readonly step?: string | undefined;
  /** Kills before the end is compared; one when it is left out. */
  readonly chain?: number;
  /** Ends the test; what it has made goes. */
  readonly signal?: AbortSignal;
  say(line: string): void;
}

/** Kill that many deployments. @returns what became of each */
export async function killTest({
  kills,
  seed,
  step = "",
  chain = 1,
  signal,
  say,
}: KillTest): Promise<Outcome[]> {
  const world = new KillWorld(signal ?? new AbortController().signal);
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
    const planned = planKills(leaves, kills, seed);
    for (let at = 0; at < planned.length; at += chain) {
      const started = performance.now();
      const links = inOrder(planned.slice(at, at + chain), leaves);
      const survived = await survive(world, links, expected);
      outcomes.push(...survived);
      const ms = (performance.now() - started) / links.length;
      for (const outcome of survived) say(lineOf(outcome, ms));
    }
    return outcomes;
  } catch (error) {
    if (!signal?.aborted) throw error;
    say("interrupted: what follows counts the kills before");
    return outcomes;
  } finally {
    await world.remove();
  }
}

/** In the order in which a deployment comes by: what a run has done, the next one skips. */
function inOrder(kills: readonly Kill[], leaves: readonly Leaf[]): Kill[] {
  const place = ({ step }: Kill): number => leaves.findIndex((leaf) => leaf.step === step);
  return kills.toSorted((a, b) => place(a) - place(b) || a.afterMs - b.afterMs);
}

async function survive(world: KillWorld, kills: readonly Kill[], expected: FinalState): Promise<Outcome[]> {
  await world.reset();
  const marks: string[] = [];
  const found: Omit<Outcome, "rerun" | "failures">[] = [];
  const ended = (rerun: string, failures: readonly string[]): Outcome[] =>
    found.map((each) => ({ ...each, rerun, failures }));
  for (const kill of kills) {
    if (kill.victim === "task, own sandbox") await world.stopSandbox();
    else await world.sandbox();
    const killed = await world.killedDeploy(kill);
    const reached = killed.exitCode === null;
    marks.push(world.lastRun);
    const left = reached ? shortly(startedBy(world.lastRun), world.temporaryFiles()) : "";
    found.push({ kill, left, reached });
    // One that nobody killed was quicker than its killer, or found its steps done: it has to end well.
    if (!reached && killed.exitCode !== 0)
      return ended("", [
        `it ended with ${killed.exitCode} before it was killed: ${killed.stderr.slice(-1500)}`,
      ]);
  }
  if (kills.at(-1)?.victim !== "task, own sandbox") await world.sandbox();
  const rerun = await world.deploy();
  marks.push(world.lastRun);
  if (rerun.exitCode !== 0)
    return ended(String(rerun.exitCode), [`the rerun failed: ${rerun.stderr.slice(-1500)}`]);
  const failures = await settled(async () => [
    ...differences(expected, await finalState(world)),
    ...marks.flatMap((run) => startedBy(run).map(({ command }) => `still runs: ${command}`)),
    ...world.temporaryFiles().map((name) => `left in the temporary folder: ${name}`),
  ]);
  return ended("0", [...failures, ...(await leftovers(world))]);
}

/** What the task of that name finds on the node after all. */
async function leftovers(world: KillWorld): Promise<string[]> {
  const { events, stderr } = await world.task("leftovers", ["--sandbox", "--json", "--yes"]);
  const { found } = (events.at(-1) ?? {}) as { found?: { name: string }[] };
  if (found === undefined) return [`leftovers failed: ${stderr.slice(-500)}`];
  return found.map(({ name }) => `leftovers found ${name}`);
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

function lineOf({ kill, left, rerun, reached, failures }: Outcome, ms: number): string {
  const { number, step, afterMs, victim } = kill;
  const where = `${step}${afterMs === 0 ? "" : ` + ${afterMs} ms`}`;
  const result =
    failures.length === 0
      ? reached
        ? "identical"
        : "not reached, identical"
      : `FAILED\n      ${failures.join("\n      ")}`;
  return `${String(number).padStart(3)}  ${victim}  ${where} | left: ${left || "nothing"} | rerun: ${rerun || "none"} | ${result} (${(ms / 1000).toFixed(0)} s)`;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      kills: { type: "string" },
      seed: { type: "string" },
      step: { type: "string" },
      chain: { type: "string" },
    },
  });
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
  const kills = values.kills === undefined ? 100 : Number(values.kills);
  const started = performance.now();
  const interrupt = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(name, () => interrupt.abort());
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  const outcomes = await killTest({
    kills,
    seed,
    step: values.step,
    chain: Number(values.chain ?? 1),
    signal: interrupt.signal,
    say,
  });
  const failed = outcomes.filter(({ failures }) => failures.length > 0).length;
  const reached = outcomes.filter((outcome) => outcome.reached || outcome.failures.length > 0).length;
  say(
    `seed ${seed}, ${((performance.now() - started) / 60_000).toFixed(1)} min, ${outcomes.length - reached} not reached`,
  );
  say(`${reached - failed} survived, ${failed} failed`);
  if (interrupt.signal.aborted) return 130;
  return failed === 0 ? 0 : 1;
}

if (process.argv[1] === import.meta.filename) process.exitCode = await main();
