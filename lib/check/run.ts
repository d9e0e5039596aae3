import { messageOf, TaskError } from "../errors.ts";
import type { Step } from "../task/index.ts";
import { type Check, type CheckControl, type CheckResult, type Finding, Unavailable } from "./check.ts";

/** How findings are judged. */
export interface CheckRules {
  /** What is unavailable counts as a failure. */
  readonly strict: boolean;
  /** What may be unavailable all the same. */
  readonly mayBeMissing: readonly string[];
}

/**
 * The checks as steps that can run side by side, none hiding another.
 * @param done told of each check once it has ended
 */
export function checkSteps(
  checks: readonly Check[],
  rules: CheckRules,
  done: (result: CheckResult) => void,
): Step[] {
  return checks.map((check): Step => {
    const { name, title, needs } = check;
    return {
      name,
      title,
      async skip() {
        const reason = (await check.skip?.()) ?? false;
        if (reason !== false) done({ name, title, needs, state: "skipped", ms: 0, findings: [], reason });
        return reason;
      },
      async run(control) {
        const result = await runCheck(check, rules, control);
        done(result);
        if (result.state === "failed") throw new TaskError({ what: title });
        if (result.state !== "passed") control.warn(inShort(result));
      },
    };
  });
}

async function runCheck(check: Check, rules: CheckRules, control: CheckControl): Promise<CheckResult> {
  const { name, title, needs } = check;
  const started = performance.now();
  const findings = (await look(check, control)).map((finding) => mendable(name, judge(finding, rules)));
  const ms = Math.round(performance.now() - started);
  return { name, title, needs, state: worst(findings), ms, findings };
}

async function look(check: Check, { output, signal }: CheckControl): Promise<readonly Finding[]> {
  try {
    return await check.run({ output, signal });
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Unavailable) return [error.finding];
    if (!(error instanceof TaskError)) {
      const fix = ["Run it again with --verbose, and report it if it stays"];
      return [{ state: "failed", evidence: messageOf(error), fix }];
    }
    const { what, why, todo } = error;
    return [{ state: "failed", evidence: why === undefined ? what : `${what}\n${why}`, fix: todo }];
  }
}

function judge(finding: Finding, { strict, mayBeMissing }: CheckRules): Finding {
  const { state, missing } = finding;
  if (!strict || state !== "unavailable") return finding;
  return missing !== undefined && mayBeMissing.includes(missing) ? finding : { ...finding, state: "failed" };
}

/** Nothing fails without a word on what to do. */
function mendable(name: string, finding: Finding): Finding {
  if (finding.state !== "failed" || finding.fix.length > 0) return finding;
  return {
    ...finding,
    fix: ["Mend what is named here, and check again:", `$ npm run preflight -- --only ${name}`],
  };
}

function worst(findings: readonly Finding[]): CheckResult["state"] {
  for (const state of ["failed", "unavailable", "warning"] as const) {
    if (findings.some((finding) => finding.state === state)) return state;
  }
  return "passed";
}

/** What is not as it should be, in a few words. */
function inShort({ findings }: CheckResult): string {
  if (findings.some(({ state }) => state === "unavailable")) return "in part";
  const lines = findings
    .filter(({ state }) => state === "warning")
    .reduce((sum, { evidence }) => sum + evidence.split("\n").length, 0);
  return lines === 1 ? "1 warning" : `${lines} warnings`;
}
