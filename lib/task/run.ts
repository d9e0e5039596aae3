import {
  Listr,
  type ListrGetRendererClassFromValue,
  ListrLogger,
  type ListrTask,
  ProcessOutput,
} from "listr2";
import { InterruptedError, messageOf, TaskError } from "../errors.ts";
import { redact } from "../secrets.ts";
import { type Asker, askIn } from "./ask.ts";
import { DrawnTitle } from "./drawn-title.ts";
import type { Reporter, Step, StepControl } from "./step.ts";
import { UndoScope } from "./undo.ts";

/** How a list of steps is run. */
export interface RunStepsOptions {
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
  /** --yes */
  readonly yes: boolean;
}

/**
 * Run steps one after another and show them. When one fails, everything registered with `undo` is undone.
 * @throws {TaskError} the first failing step's, with what was rolled back or left in `left`
 * @throws {InterruptedError} when the signal is aborted
 */
export async function runSteps(steps: readonly Step[], options: RunStepsOptions): Promise<void> {
  const { reporter } = options;
  await new Listr<unknown, "default" | "silent", "silent">(listrTasks(steps, options, new UndoScope(), []), {
    renderer: reporter.drawsList ? "default" : "silent",
    fallbackRenderer: "silent",
    forceTTY: reporter.drawsList,
    registerSignalListeners: false,
    rendererOptions: {
      // Progress goes to stderr: stdout carries the result alone.
      logger: new ListrLogger({ processOutput: new ProcessOutput(process.stderr, process.stderr) }),
      collapseSubtasks: false,
      collapseErrors: false,
      showErrorMessage: false,
      suffixSkips: false,
    },
  }).run();
}

function listrTasks(
  steps: readonly Step[],
  options: RunStepsOptions,
  scope: UndoScope,
  within: readonly string[],
  failures: TaskError[] = [],
): ListrTask<unknown, ListrGetRendererClassFromValue<"default" | "silent">>[] {
  const { reporter, signal } = options;
  let open = steps.length;
  const shownOf = inColumns(steps);
  return steps.map((step) => ({
    title: shownOf(step),
    task: async (_context, task) => {
      const started = performance.now();
      const shown = shownOf(step);
      const drawn = reporter.drawsList ? new DrawnTitle(task, shown, step.name !== undefined) : undefined;
      let warning: string | undefined;
      const report = (state: "started" | "done" | "skipped" | "failed", reason?: string): void => {
        const ms = state === "started" ? 0 : Math.round(performance.now() - started);
        if (state === "done" || state === "failed") drawn?.took(ms, warning);
        reporter.step(
          {
            title: step.title,
            ...(step.name === undefined ? {} : { name: step.name }),
            depth: within.length,
            within,
            state,
            ms,
            ...(reason === undefined ? {} : { reason }),
            ...(state === "done" && warning !== undefined ? { warning } : {}),
          },
          shown,
        );
      };
      const closeList = (): void => {
        open -= 1;
        if (open === 0) scope.keep();
      };
      try {
        signal.throwIfAborted();
        const reason = (await step.skip?.()) ?? false;
        if (reason !== false) {
          report("skipped", reason);
          closeList();
          task.skip(step.name === undefined ? `${step.title}: ${reason}` : `${shown}  ${reason}`);
          return;
        }
        report("started");
        const warn = (words: string): void => {
          warning = redact(words);
        };
        const substeps = await step.run({
          ...control(step, options, scope, within.length, task, drawn),
          warn,
        });
        if (substeps === undefined || substeps.length === 0) {
          report("done");
          closeList();
          return;
        }
        const parallel = step.parallel ?? false;
        const failed: TaskError[] = [];
        const inner = listrTasks(substeps, options, new UndoScope(scope), [...within, step.title], failed);
        const list = task.newListr(inner, {
          concurrent: parallel,
          exitOnError: !parallel,
          rendererOptions: { collapseSubtasks: false },
        });
        // listr2 runs the list after this function has returned: report and close when it has ended.
        const runList = list.run.bind(list);
        list.run = async (context) => {
          try {
            const result = await runList(context);
            // Side by side, listr2 lets the others finish and keeps quiet about those that failed.
            if (failed.length > 0) throw together(failed, inner.length);
            report("done");
            closeList();
            return result;
          } catch (error) {
            report("failed");
            throw error;
          }
        };
        return list;
      } catch (error) {
        report("failed");
        const left = await scope.unwind();
        const told = failure(step, error, signal).withLeft(left);
        failures.push(told);
        throw told;
      }
    },
  }));
}

function control(
  step: Step,
  { reporter, signal, yes }: RunStepsOptions,
  scope: UndoScope,
  depth: number,
  task: Asker & { output: string },
  drawn: DrawnTitle | undefined,
): Omit<StepControl, "warn"> {
  const asking = askIn(task, { yes, step: step.title, drawn: reporter.drawsList, signal });
  return {
    signal,
    output: (line) => {
      const clean = redact(line);
      task.output = clean;
      reporter.output(clean, depth + 1);
    },
    note: (line) => (drawn ?? reporter).note(redact(line)),
    undo: (description, action) => scope.add(description, action),
    stays: (describe) => scope.addStaying(describe),
    ...asking,
  };
}

/** How steps with names are shown: names and titles one below the other. */
function inColumns(steps: readonly Step[]): (step: Step) => string {
  const named = steps.filter(({ name }) => name !== undefined);
  const names = Math.max(0, ...named.map(({ name = "" }) => name.length));
  const titles = Math.max(0, ...named.map(({ title }) => title.length));
  return ({ name, title }) => (name === undefined ? title : `${name.padEnd(names)}  ${title.padEnd(titles)}`);
}

/** One failure of several that happened side by side. */
function together(failed: readonly TaskError[], outOf: number): TaskError {
  const [first] = failed;
  if (first !== undefined && failed.length === 1) return first;
  return new TaskError({
    what: `${failed.length} of ${outOf} failed`,
    why: failed.map(({ what, why }) => (why ? `${what}: ${why}` : what)).join("\n"),
    todo: [...new Set(failed.flatMap(({ todo }) => todo))],
    left: failed.flatMap(({ left }) => left),
  });
}

/** What the system says when a file finds no room here. */
const FULL = /^(ENOSPC|EDQUOT|EFBIG)$/;

function failure(step: Step, error: unknown, signal: AbortSignal): TaskError {
  const leaves = signal.aborted && step.leaves !== undefined ? [step.leaves] : [];
  if (error instanceof InterruptedError) {
    return new InterruptedError({
      why: error.why ?? `during "${step.title}"`,
      left: [...error.left, ...leaves],
    });
  }
  if (error instanceof TaskError) return error.withLeft(leaves);
  if (signal.aborted) return new InterruptedError({ why: `during "${step.title}"`, left: leaves });
  return new TaskError({
    what: `"${step.title}" failed`,
    why: messageOf(error),
    todo: FULL.test((error as NodeJS.ErrnoException).code ?? "")
      ? ["There is no room on this machine, or a limit is reached: make room, then run it again", "$ df -h"]
      : ["If that does not explain itself, run it again with --verbose"],
    cause: error,
  });
}
