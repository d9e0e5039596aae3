import * as v from "valibot";
import { leaks } from "./leaks.ts";
import type { Failing, Pair } from "./pair.ts";
import { TASKS, type TaskCase } from "./tasks.ts";
import { differences, type FaultWorld, type Outcome } from "./world.ts";

/** What came of a pair. */
export interface Verdict {
  readonly pair: Pair;
  /** Empty when all is as it has to be. */
  readonly complaints: readonly string[];
  readonly ms: number;
  /** What the task said, for whoever looks at a complaint. */
  readonly shown: string;
}

const text = v.string();
const resultSchema = v.object({
  event: v.literal("result"),
  ok: v.boolean(),
  exitCode: v.optional(v.number()),
  error: v.optional(
    v.object({ what: text, why: v.nullable(text), todo: v.array(text), left: v.array(text) }),
  ),
  checks: v.optional(v.unknown()),
});

type Result = v.InferOutput<typeof resultSchema>;

/** Provoke the fault, run the task, and look at everything that has to hold. */
export async function tryPair(world: FaultWorld, pair: Pair): Promise<Verdict> {
  const { fault, expected } = pair;
  const task: TaskCase = TASKS[pair.task];
  const started = performance.now();
  await task.arrange(world);
  const env = { ...task.env, ...(await task.environment?.(world)) };
  const before = await world.inventory();
  const end = await fault.arrange?.(world);
  world.sandbox.faults.set(fault.rules ?? []);
  let outcome: Outcome;
  let struck: number;
  try {
    outcome = await world.run(task.command, task.flags(world), {
      env: { ...env, ...fault.env },
      ...(fault.shell === undefined ? {} : { shell: fault.shell }),
    });
    struck = world.sandbox.faults.struck().length;
  } finally {
    world.sandbox.faults.clear();
    await end?.();
  }
  const changes = differences(before, await world.inventory());
  const complaints = [
    ...strikes(pair, struck),
    ...secretsIn(world, outcome, secretsOf(fault.env ?? {})),
    ...world.temporaryFiles().map((name) => `${name} stays in the temporary folder`),
    ...(outcome.code === expected.exit ? [] : [`exit code ${outcome.code}, not ${expected.exit}`]),
  ];
  const result = resultOf(outcome);
  if (result === undefined) complaints.push("it did not end with a result");
  else if (expected.exit === 0) {
    if (expected.said !== undefined && !expected.said.test(`${outcome.stdout}\n${outcome.stderr}`))
      complaints.push(`it did not say ${expected.said}`);
    if (!expected.inPart) complaints.push(...(await task.undone(world)));
  } else {
    complaints.push(...formOf(result, outcome, expected));
    complaints.push(...(await aftermath(world, { task, env }, expected, result, changes)));
  }
  return {
    pair,
    complaints,
    ms: Math.round(performance.now() - started),
    shown: [outcome.stderr.trim(), ...changes.map((line) => `  changed: ${line}`)].join("\n"),
  };
}

/** A rule that struck nothing has tested nothing. Storages are states, which nobody counts. */
function strikes({ fault: { rules = [] } }: Pair, struck: number): string[] {
  const counted = rules.some(({ where }) => where !== "storage");
  return counted && struck === 0 ? ["the fault did not strike"] : [];
}

/** What a fault has put in a secret's place is one as well. */
function secretsOf({ PM_API_TOKEN_SECRET: secret = "" }: Readonly<Record<string, string>>): string[] {
  return secret === "" ? [] : [secret];
}

function secretsIn(
  world: FaultWorld,
  { stdout, stderr, argv }: Outcome,
  secrets: readonly string[],
): string[] {
  return leaks([...world.secrets(), ...secrets], { stdout, stderr, argv, "the logs": world.logs() });
}

function resultOf({ stdout }: Outcome): Result | undefined {
  const parsed = v.safeParse(
    v.pipe(text, v.parseJson(), resultSchema),
    stdout.trim().split("\n").at(-1) ?? "",
  );
  return parsed.success ? parsed.output : undefined;
}

/** What failed, why, what to do now, what was left; no stack, no bug. */
function formOf(
  { ok, exitCode, error, checks }: Result,
  { stderr }: Outcome,
  { exit, what, why, todo, left }: Failing,
): string[] {
  if (ok || error === undefined) return ["its result is no failure"];
  const reasons = error.why ?? (checks === undefined ? "" : JSON.stringify(checks));
  const asked: readonly (readonly [name: string, form: RegExp, words: string])[] = [
    ["what", what, error.what],
    ["why", why, reasons],
    ["todo", todo ?? /\S/, error.todo.join("\n")],
    ["left", left ?? /^/, error.left.join("\n")],
  ];
  return [
    ...asked.flatMap(([name, form, words]) =>
      form.test(words) ? [] : [`${name} is ${JSON.stringify(words)}, not ${form}`],
    ),
    ...(exitCode === exit ? [] : [`its result has the exit code ${exitCode}`]),
    ...(error.what.endsWith(".") || error.what.includes("\n") ? ["what is no plain sentence"] : []),
    ...(/This is a bug in homelab/.test(stderr) ? ["it says that it is a bug"] : []),
    ...(/^\s+at .+:\d+:\d+\)?$/m.test(stderr) ? ["it shows a stack"] : []),
    ...(stderr.includes("What to do now") ? [] : ["stderr does not say what to do"]),
  ];
}

async function aftermath(
  world: FaultWorld,
  { task, env }: { readonly task: TaskCase; readonly env: Readonly<Record<string, string>> },
  { then }: Failing,
  { error }: Result,
  changes: readonly string[],
): Promise<string[]> {
  const left = error?.left ?? [];
  if (then !== "resumable") {
    return [
      ...changes.map((line) => `changed: ${line}`),
      ...(then === "rolled back" && !left.some((line) => /^Rolled back: /.test(line))
        ? ["it does not tell what it has taken back"]
        : []),
    ];
  }
  const { code, stderr } = await world.run(task.command, task.again ?? task.flags(world), {
    env,
  });
  return [
    ...(changes.length > 0 && left.length === 0
      ? [`it does not tell what it has left: ${changes.join("; ")}`]
      : []),
    ...(code === 0 ? [] : [`running it again ended with ${code}: ${stderr.trim()}`]),
    ...(await task.undone(world)).map((line) => `after running it again: ${line}`),
  ];
}
