import type { CheckResult, Repair } from "../../lib/check/index.ts";
import { InterruptedError, messageOf, UsageError } from "../../lib/errors.ts";
import type { Step, TaskContext } from "../../lib/task/index.ts";

/**
 * Offer each repair that the checks know of.
 * @returns the settings that were changed, once anything was done
 */
export async function repair(
  results: readonly CheckResult[],
  {
    flags,
    steps,
    note,
  }: Pick<TaskContext, "steps" | "note"> & { readonly flags: { readonly dryRun: boolean } },
): Promise<Readonly<Record<string, string>> | undefined> {
  const repairs = repairsOf(results);
  if (repairs.length === 0) {
    note("Nothing here can be repaired without you");
    return undefined;
  }
  if (flags.dryRun) {
    for (const { title, shows } of repairs) note([`Would be offered: ${title}`, ...shows].join("\n  "));
    return undefined;
  }
  const saved: Record<string, string> = {};
  let done = 0;
  await steps(
    repairs.map((each) =>
      repairStep(each, (values) => {
        done += 1;
        Object.assign(saved, values);
      }),
    ),
  );
  return done === 0 ? undefined : saved;
}

/** Several checks may come to the same repair. */
function repairsOf(results: readonly CheckResult[]): Repair[] {
  const all = results.flatMap(({ findings }) => findings.flatMap((finding) => finding.repair ?? []));
  return [...new Map(all.map((each) => [each.title, each])).values()];
}

function repairStep(
  { title, shows, question, looked, run }: Repair,
  done: (saved: Readonly<Record<string, string>>) => void,
): Step {
  return {
    title,
    preview: () => shows,
    async run({ confirm, offer, note, warn, signal }) {
      note(shows.join("\n"));
      if (!(await (looked ? offer(question) : confirm(question)))) {
        warn(looked ? "left as it is: somebody has to look at it, on a terminal" : "left as it is");
        return;
      }
      try {
        done(await run(signal));
      } catch (error) {
        if (error instanceof InterruptedError || error instanceof UsageError || signal.aborted) throw error;
        // The others are offered all the same, and the checks tell afterwards what is still so.
        note(messageOf(error));
        warn("not done");
      }
    },
  };
}
