import { setMaxListeners } from "node:events";
import { type CheckResult, checkSteps } from "../../lib/check/index.ts";
import type { SettingName } from "../../lib/config/index.ts";
import type { Sandbox } from "../../lib/sandbox/index.ts";
import { sandboxSettings } from "../../lib/task/index.ts";
import { PlainReporter } from "../../lib/task/reporters.ts";
import { runSteps } from "../../lib/task/run.ts";
import { nodeChecks } from "../../tasks/preflight/node/index.ts";

/** Settings that differ from the sandbox's; undefined takes one away. */
export type Changes = Readonly<Partial<Record<SettingName, string | undefined>>>;

/**
 * Run the checks of a node side by side, as preflight does.
 * @param root a clone
 * @returns what became of each, by its name without "node/"
 */
export async function lookAtNode(
  sandbox: Sandbox,
  root: string,
  changes: Changes = {},
): Promise<Map<string, CheckResult>> {
  const values = { ...sandboxSettings(sandbox), ...changes };
  const { checks, close } = nodeChecks(root, [{ name: "the test", values }]);
  const results = new Map<string, CheckResult>();
  const rules = { strict: false, mayBeMissing: [] };
  const steps = checkSteps(checks, rules, (result) => results.set(result.name.slice("node/".length), result));
  const { signal } = new AbortController();
  // As that of a run.
  setMaxListeners(0, signal);
  try {
    await runSteps([{ title: "Check", parallel: true, run: async () => steps }], {
      reporter: new PlainReporter(() => {}),
      signal,
      yes: false,
      // What has failed is among the results.
    }).catch(() => {});
  } finally {
    await close();
  }
  return results;
}
