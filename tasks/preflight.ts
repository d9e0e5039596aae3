import type { Check, CheckResult } from "../lib/check/index.ts";
import type { Source } from "../lib/config/index.ts";
import { InterruptedError, TaskError } from "../lib/errors.ts";
import { defineCommand, main } from "../lib/task/index.ts";

/** What the checks look at. */
interface PreflightRequest {
  /** The repository's folder. */
  readonly root: string;
  readonly sources: readonly Source[];
}

/** Every check there is; all are independent, and none changes anything. */
export async function preflightChecks({ root, sources }: PreflightRequest): Promise<Check[]> {
  const [tree, { toolsCheck }, { settingsCheck }, { nodeChecks }] = await Promise.all([
    import("./preflight/tree.ts").then(({ treeChecks }) => treeChecks(root)),
    import("./preflight/tools.ts"),
    import("./preflight/settings.ts"),
    import("./preflight/node.ts"),
  ]);
  return [...tree, toolsCheck(), settingsCheck(sources), ...nodeChecks(sources)];
}

const command = defineCommand({
  name: "preflight",
  summary: "Check what can be checked before anything is changed: tools, files, settings, the node",
  flags: {
    only: {
      type: "string",
      multiple: true,
      value: "NAME[,NAME]",
      about: "run these checks alone; a group's name means all of it",
    },
    skip: { type: "string", multiple: true, value: "NAME[,NAME]", about: "leave these checks out" },
    strict: { type: "boolean", about: "a tool that is not to be had is a failure; for CI" },
  },
  readOnly: true,
  async run(context) {
    const { root, sources, flags } = context;
    const { checkSteps, selectChecks } = await import("../lib/check/index.ts");
    const { MAY_BE_MISSING } = await import("./preflight/may-be-missing.ts");
    const checks = selectChecks(await preflightChecks({ root, sources }), flags);
    const results = new Map<string, CheckResult>();
    const rules = { strict: flags.strict, mayBeMissing: MAY_BE_MISSING.map(({ what }) => what) };
    const steps = checkSteps(checks, rules, (result) => results.set(result.name, result));
    const title = `Check ${checks.length === 1 ? "one thing" : `${checks.length} things`} side by side`;
    try {
      await context.steps([{ title, parallel: true, run: async () => steps }]);
    } catch (error) {
      // What failed is told below, check by check; anything else ends it here.
      if (error instanceof InterruptedError || context.signal.aborted) throw error;
      if (results.size < checks.length) throw error;
    }
    // In their own order, not that in which they ended.
    const ended = checks.flatMap(({ name }) => results.get(name) ?? []);
    await tell(ended, context.flags.json, (line) => process.stderr.write(`${line}\n`));
    conclude(ended, flags.strict, (text, data) => context.result(text, data));
  },
});

async function tell(
  results: readonly CheckResult[],
  json: boolean,
  write: (line: string) => void,
): Promise<void> {
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
  if (text !== "") write(`\n${text}\n`);
}

function conclude(
  results: readonly CheckResult[],
  strict: boolean,
  tellResult: (text: string, data: Readonly<Record<string, unknown>>) => void,
): void {
  const named = (state: CheckResult["state"]): string[] =>
    results.filter((result) => result.state === state).map(({ name }) => name);
  const failed = named("failed");
  const warned = [...named("warning"), ...named("unavailable")];
  const skipped = named("skipped");
  const passed = results.length - failed.length - skipped.length;
  const data = {
    passed,
    warned: warned.length,
    skipped: skipped.length,
    failed: failed.length,
    checks: results,
  };
  if (failed.length > 0) {
    const again = ["npm run preflight --", `--only ${failed.join(",")}`, ...(strict ? ["--strict"] : [])];
    throw new TaskError({
      what: `${failed.length} of ${results.length} checks failed: ${failed.join(", ")}`,
      todo: ["Each is explained above; check them again:", `$ ${again.join(" ")}`],
      data,
    });
  }
  const counts = [
    `${passed} checks passed`,
    ...(warned.length > 0 ? [`${warned.length} of them with warnings`] : []),
    ...(skipped.length > 0 ? [`${skipped.length} skipped`] : []),
  ];
  tellResult(counts.join(", "), data);
}

await main(import.meta.url, command);
