import assert from "node:assert/strict";
import { test } from "node:test";
import { InterruptedError, TaskError } from "../../lib/errors.ts";
import { runSteps } from "../../lib/task/run.ts";
import type { Reporter, Step, StepEvent } from "../../lib/task/step.ts";

class Recorder implements Reporter {
  readonly drawsList = false;
  readonly events: StepEvent[] = [];
  readonly lines: string[] = [];

  step(event: StepEvent): void {
    this.events.push(event);
  }
  output(line: string): void {
    this.lines.push(line);
  }
  note(line: string): void {
    this.lines.push(`note: ${line}`);
  }
  /** "title state", in order. */
  get story(): string[] {
    return this.events.map(({ title, state }) => `${title} ${state}`);
  }
}

async function runAll(steps: readonly Step[], signal = new AbortController().signal): Promise<Recorder> {
  const reporter = new Recorder();
  await runSteps(steps, { reporter, signal, yes: false });
  return reporter;
}

const step = (title: string, run: Step["run"], more: Partial<Step> = {}): Step => ({ title, run, ...more });
const fails = (title: string): Step =>
  step(title, async () => {
    throw new TaskError({ what: `${title} went wrong`, todo: ["$ mend it"] });
  });

test("steps run in order and share what the closure holds", async () => {
  let image = "";
  const seen: string[] = [];
  const reporter = await runAll([
    step("look", async () => {
      image = "found";
    }),
    step("use", async ({ output, note }) => {
      seen.push(image);
      output("50 %");
      note("remember this");
    }),
  ]);
  assert.deepEqual(seen, ["found"]);
  assert.deepEqual(reporter.story, ["look started", "look done", "use started", "use done"]);
  assert.deepEqual(reporter.lines, ["50 %", "note: remember this"]);
});

test("a step with nothing to do is skipped with its reason", async () => {
  const reporter = await runAll([
    step("make", () => assert.fail("must not run"), { skip: () => "is there already" }),
  ]);
  assert.deepEqual(
    reporter.events.map(({ state, reason }) => [state, reason]),
    [["skipped", "is there already"]],
  );
});

test("a step's own steps are run below it", async () => {
  const reporter = await runAll([
    step("outer", async () => [step("inner", async () => {})]),
    step("after", async () => {}),
  ]);
  assert.deepEqual(reporter.story, [
    "outer started",
    "inner started",
    "inner done",
    "outer done",
    "after started",
    "after done",
  ]);
  assert.deepEqual(
    reporter.events.map(({ depth }) => depth),
    [0, 1, 1, 0, 0, 0],
  );
});

test("a failure undoes what the open lists made, newest first, and stops", async () => {
  const undone: string[] = [];
  const makes = (name: string): Step =>
    step(`make ${name}`, async ({ undo }) => {
      undo(`${name} removed`, async () => {
        undone.push(name);
      });
    });
  await assert.rejects(
    runAll([
      makes("a"),
      step("closed list", async () => [makes("kept")]),
      step("open list", async () => [
        makes("b"),
        makes("c"),
        fails("break"),
        step("never", () => assert.fail("ran")),
      ]),
      step("never either", () => assert.fail("ran")),
    ]),
    (error: unknown) => {
      assert(error instanceof TaskError);
      assert.equal(error.what, "break went wrong");
      assert.deepEqual(error.left, [
        "Rolled back: c removed",
        "Rolled back: b removed",
        "Rolled back: a removed",
      ]);
      assert.deepEqual(error.todo, ["$ mend it"]);
      return true;
    },
  );
  assert.deepEqual(undone, ["c", "b", "a"]);
});

test("what cannot be undone is said to be left behind, the rest is still undone", async () => {
  await assert.rejects(
    runAll([
      step("make", async ({ undo }) => {
        undo("first removed", async () => {});
        undo("second removed", async () => {
          throw new Error("no route to host");
        });
      }),
      fails("break"),
    ]),
    (error: unknown) => {
      assert(error instanceof TaskError);
      assert.deepEqual(error.left, [
        'Left behind (not "second removed"): no route to host',
        "Rolled back: first removed",
      ]);
      return true;
    },
  );
});

test("any other error becomes a TaskError that names the step", async () => {
  await assert.rejects(
    runAll([
      step("count", async () => {
        throw new RangeError("too many");
      }),
    ]),
    (error: unknown) =>
      error instanceof TaskError && error.what === '"count" failed' && error.why === "too many",
  );
});

test("an interruption rolls back and ends with exit code 130", async () => {
  const interrupt = new AbortController();
  const undone: string[] = [];
  await assert.rejects(
    runAll(
      [
        step("make", async ({ undo }) => undo("it removed", async () => void undone.push("it"))),
        step("wait", async ({ signal }) => {
          setTimeout(() => interrupt.abort(), 5);
          await new Promise((_resolve, reject) =>
            signal.addEventListener("abort", () => reject(signal.reason)),
          );
        }),
      ],
      interrupt.signal,
    ),
    (error: unknown) =>
      error instanceof InterruptedError && error.exitCode === 130 && error.left.length === 1,
  );
  assert.deepEqual(undone, ["it"]);
});

test("side by side, a failing step does not stop the others", async () => {
  const done: string[] = [];
  await assert.rejects(
    runAll([
      step(
        "checks",
        async () => [
          fails("one"),
          step("two", async () => {
            await new Promise((resolve) => setTimeout(resolve, 10));
            done.push("two");
          }),
        ],
        { parallel: true },
      ),
    ]),
    /one went wrong/,
  );
  assert.deepEqual(done, ["two"]);
});

test("a question without a terminal says which flag answers it", async () => {
  await assert.rejects(
    runAll([step("ask", async ({ confirm }) => void (await confirm("Sure?")))]),
    (error: unknown) => error instanceof TaskError && error.exitCode === 2 && /--yes/.test(error.todo.join()),
  );
});
