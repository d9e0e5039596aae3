import type { Check, CheckResult } from "../lib/check/index.ts";
import type { Source } from "../lib/config/index.ts";
import { InterruptedError, TaskError, UsageError } from "../lib/errors.ts";
import { defineCommand, main, type TaskContext } from "../lib/task/index.ts";

/** What the checks look at. */
interface PreflightRequest {
  /** The repository's folder. */
  readonly root: string;
  readonly sources: readonly Source[];
  /** What is wrong with the places they come from. */
  readonly brokenSources: readonly UsageError[];
}

/** Every check there is, and what ends the connections that they share. */
interface Preflight {
  readonly checks: readonly Check[];
  close(): Promise<void>;
}

/** Every check there is; all are independent, and none changes anything. */
export async function preflightChecks({
  root,
  sources,
  brokenSources,
}: PreflightRequest): Promise<Preflight> {
  const [tree, { toolsCheck }, { settingsCheck }, { dotenvCheck }, { nodeChecks }] = await Promise.all([
    import("./preflight/tree.ts").then(({ treeChecks }) => treeChecks(root)),
    import("./preflight/tools.ts"),
    import("./preflight/settings.ts"),
    import("./preflight/dotenv.ts"),
    import("./preflight/node/index.ts"),
  ]);
  const node = nodeChecks(root, sources);
  const checks = [
    ...tree,
    toolsCheck(),
    settingsCheck(root, sources, brokenSources),
    dotenvCheck(root),
    ...node.checks,
  ];
  return { checks, close: node.close };
}

const FLAGS = {
  only: {
    type: "string",
    multiple: true,
    value: "NAME[,NAME]",
    about: "run these checks alone; a group's name means all of it",
  },
  skip: { type: "string", multiple: true, value: "NAME[,NAME]", about: "leave these checks out" },
  strict: { type: "boolean", about: "a tool that is not to be had is a failure; for CI" },
  fix: { type: "boolean", about: "offer to repair what can be repaired safely, each shown and asked for" },
} as const;

type Context = TaskContext<typeof FLAGS, never, never>;

const command = defineCommand({
  name: "preflight",
  summary: "Check what can be checked before anything is changed: tools, files, settings, the node",
  flags: FLAGS,
  // Without --fix it is, and with it --dry-run shows what would be repaired.
  readOnly: true,
  tellsBrokenSources: true,
  async run(context) {
    const { flags, root, sources, brokenSources } = context;
    // It is told here as in every run; what is malformed the settings' own check tells.
    await context.load([], ["PM_TLS_INSECURE"]).catch((error: unknown) => {
      if (!(error instanceof UsageError)) throw error;
    });
    let results = await check(context, { root, sources, brokenSources }, (all) => all);
    await tell(results, flags.json);
    if (flags.fix) {
      const { repair } = await import("./preflight/fix.ts");
      const saved = await repair(results, context);
      if (saved !== undefined) {
        const now = [{ name: ".env", values: saved }, ...sources];
        const open = new Set(results.filter(isOpen).map(({ name }) => name));
        const again = await check(context, { root, sources: now, brokenSources }, (all) =>
          all.filter(({ name }) => open.has(name)),
        );
        await tell(again, flags.json);
        results = results.map((result) => again.find(({ name }) => name === result.name) ?? result);
      }
    }
    conclude(results, flags, (text, data) => context.result(text, data));
  },
});

/** Whether a check may come to something else once something was repaired. */
function isOpen({ state, findings }: CheckResult): boolean {
  return (
    (state !== "passed" && state !== "skipped") || findings.some((finding) => finding.repair !== undefined)
  );
}

/** Run the checks that are asked for, side by side. @returns what became of them, in their own order */
async function check(
  context: Context,
  request: PreflightRequest,
  choose: (all: readonly Check[]) => readonly Check[],
): Promise<CheckResult[]> {
  const { flags } = context;
  const { checkSteps, selectChecks } = await import("../lib/check/index.ts");
  const { MAY_BE_MISSING } = await import("./preflight/may-be-missing.ts");
  const preflight = await preflightChecks(request);
  const checks = choose(selectChecks(preflight.checks, flags));
  const results = new Map<string, CheckResult>();
  const rules = { strict: flags.strict, mayBeMissing: MAY_BE_MISSING.map(({ what }) => what) };
  const steps = checkSteps(checks, rules, (result) => results.set(result.name, result));
  const title = checks.length === 1 ? "Check one thing" : `Check ${checks.length} things side by side`;
  try {
    await context.steps([{ title, parallel: true, run: async () => steps }]);
  } catch (error) {
    // What failed is told below, check by check; anything else ends it here.
    if (error instanceof InterruptedError || context.signal.aborted) throw error;
    if (results.size < checks.length) throw error;
  } finally {
    await preflight.close();
  }
  return checks.flatMap(({ name }) => results.get(name) ?? []);
}

async function tell(results: readonly CheckResult[], json: boolean): Promise<void> {
  if (json) return;
  const [{ report }, { redact }] = await Promise.all([
    import("./preflight/report.ts"),
    import("../lib/secrets.ts"),
  ]);
  const { stderr } = process;
  const style = {
    color: stderr.hasColors?.() ?? false,
    ...(stderr.isTTY ? { columns: stderr.columns } : {}),
  };
  const text = redact(report(results, style));
  if (text !== "") stderr.write(`\n${text}\n`);
}

function conclude(
  results: readonly CheckResult[],
  { strict, fix }: Pick<Context["flags"], "strict" | "fix">,
  tellResult: (text: string, data: Readonly<Record<string, unknown>>) => void,
): void {
  const named = (state: CheckResult["state"]): string[] =>
    results.filter((result) => result.state === state).map(({ name }) => name);
  const repairable = results.some(({ findings }) => findings.some((finding) => finding.repair !== undefined));
  const offer =
    repairable && !fix
      ? ["Some of it can be repaired here, once you agree:", "$ npm run preflight -- --fix"]
      : [];
  const failed = named("failed");
  // Each check is counted once.
  const count = {
    passed: named("passed").length,
    warned: named("warning").length,
    unavailable: named("unavailable").length,
    skipped: named("skipped").length,
    failed: failed.length,
  };
  const data = { ...count, checks: results };
  if (failed.length > 0) {
    const again = ["npm run preflight --", `--only ${failed.join(",")}`, ...(strict ? ["--strict"] : [])];
    throw new TaskError({
      what: `${failed.length} of ${results.length} ${results.length === 1 ? "check" : "checks"} failed: ${failed.join(", ")}`,
      todo: [...offer, "Do what each of them says, and check them again:", `$ ${again.join(" ")}`],
      data,
    });
  }
  const counts = [
    `${count.passed} ${count.passed === 1 ? "check" : "checks"} passed`,
    ...(count.warned > 0 ? [`${count.warned} with warnings`] : []),
    ...(count.unavailable > 0 ? [`${count.unavailable} not made in full`] : []),
    ...(count.skipped > 0 ? [`${count.skipped} skipped`] : []),
  ];
  tellResult(counts.join(", "), data);
}

await main(import.meta.url, command);
