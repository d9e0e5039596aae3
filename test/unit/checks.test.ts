import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  type Check,
  type CheckResult,
  checkSteps,
  type Finding,
  selectChecks,
  Unavailable,
} from "../../lib/check/index.ts";
import { TaskError, UsageError } from "../../lib/errors.ts";
import { PlainReporter } from "../../lib/task/reporters.ts";
import { runSteps } from "../../lib/task/run.ts";
import { report } from "../../tasks/preflight/report.ts";

const LAX = { strict: false, mayBeMissing: [] };

function check(name: string, run: () => readonly Finding[] | Promise<readonly Finding[]>): Check {
  return { name, title: `${name} is well`, needs: ["a tool"], run: async () => await run() };
}
const found = (state: Finding["state"], missing?: string): Finding => ({
  state,
  evidence: `${state} was seen`,
  fix: ["mend it"],
  ...(missing === undefined ? {} : { missing }),
});

/** Run checks side by side as preflight does. */
async function results(
  checks: readonly Check[],
  rules: Parameters<typeof checkSteps>[1] = LAX,
): Promise<{ lines: string[]; by: Map<string, CheckResult>; failed: boolean }> {
  const lines: string[] = [];
  const by = new Map<string, CheckResult>();
  const steps = checkSteps(checks, rules, (result) => by.set(result.name, result));
  const { signal } = new AbortController();
  const reporter = new PlainReporter((line) => lines.push(line));
  let failed = false;
  await runSteps([{ title: "Check", parallel: true, run: async () => steps }], {
    reporter,
    signal,
    yes: false,
  }).catch(() => {
    failed = true;
  });
  return { lines, by, failed };
}

describe("checks", () => {
  test("each come to what the worst of their findings is, none hiding another", async () => {
    const { by, failed } = await results([
      check("good", () => []),
      check("told", () => [found("ok")]),
      check("doubtful", () => [found("ok"), found("warning")]),
      check("missing", () => [found("warning"), found("unavailable", "x")]),
      check("bad", () => [found("failed"), found("unavailable", "x")]),
      check("thrown", () => {
        throw new TaskError({ what: "It broke", why: "so it is", todo: ["$ mend"] });
      }),
      check("bug", () => {
        throw new Error("undefined is not a function");
      }),
      check("absent", () => {
        throw new Unavailable("y", "y is nowhere", ["get y"]);
      }),
      { ...check("elsewhere", () => [found("failed")]), skip: () => "needs PM_API_URL" },
    ]);
    assert.equal(failed, true);
    assert.deepEqual(
      [...by.values()].map(({ name, state }) => `${name} ${state}`).sort(),
      [
        "absent unavailable",
        "bad failed",
        "bug failed",
        "doubtful warning",
        "elsewhere skipped",
        "good passed",
        "missing unavailable",
        "told passed",
        "thrown failed",
      ].sort(),
    );
    assert.deepEqual(by.get("thrown")?.findings, [
      { state: "failed", evidence: "It broke\nso it is", fix: ["$ mend"] },
    ]);
    assert.match(by.get("bug")?.findings[0]?.evidence ?? "", /undefined is not a function/);
    assert.equal(by.get("elsewhere")?.reason, "needs PM_API_URL");
    assert.deepEqual(by.get("elsewhere")?.needs, ["a tool"]);
  });

  test("have a line each, with name, title, time and what is not as it should be", async () => {
    const { lines } = await results([
      check("a", () => []),
      check("bb", () => [found("warning"), found("warning")]),
      check("ccc", () => [found("unavailable", "helm")]),
      { ...check("d", () => []), skip: () => "needs y" },
    ]);
    const plain = lines.map((line) => line.replace(/\d+ ms/, "N ms").replace(/ {2,}(?=N)/, " "));
    assert.deepEqual(
      new Set(plain),
      new Set([
        "▸ Check",
        "  ↓ d    d is well    needs y",
        "  ✔ a    a is well N ms",
        "  ⚠ bb   bb is well N ms  2 warnings",
        "  ⚠ ccc  ccc is well N ms  in part",
        "✔ Check",
      ]),
    );
  });

  test("with --strict fail for what is not to be had, but for what may be missing", async () => {
    const rules = { strict: true, mayBeMissing: ["plugin"] };
    const { by, failed } = await results(
      [
        check("a", () => [found("unavailable", "plugin")]),
        check("b", () => [found("unavailable", "plugin"), found("unavailable", "tflint")]),
        check("c", () => [found("warning")]),
        check("d", () => [found("unavailable")]),
      ],
      rules,
    );
    assert.equal(failed, true);
    assert.deepEqual([...by.values()].map(({ name, state }) => `${name} ${state}`).sort(), [
      "a unavailable",
      "b failed",
      "c warning",
      "d failed",
    ]);
    const states = by.get("b")?.findings.map(({ state }) => state);
    assert.deepEqual(states, ["unavailable", "failed"]);
  });

  test("that are interrupted are no findings", async () => {
    const interrupt = new AbortController();
    const ended: string[] = [];
    const steps = checkSteps(
      [
        {
          ...check("slow", () => []),
          run: async ({ signal }) => {
            interrupt.abort(new Error("Ctrl-C"));
            signal.throwIfAborted();
            return [];
          },
        },
      ],
      LAX,
      ({ name }) => ended.push(name),
    );
    const reporter = new PlainReporter(() => {});
    await assert.rejects(runSteps(steps, { reporter, signal: interrupt.signal, yes: false }));
    assert.deepEqual(ended, []);
  });
});

describe("choosing checks", () => {
  const all = ["fmt", "kustomize/argo", "kustomize/home", "kustom", "lint"].map((name) =>
    check(name, () => []),
  );
  const names = (only: string[], skip: string[] = []): string[] =>
    selectChecks(all, { only, skip }).map(({ name }) => name);

  test("by name, by group, by several of them, in their own order", () => {
    assert.deepEqual(names([]), ["fmt", "kustomize/argo", "kustomize/home", "kustom", "lint"]);
    assert.deepEqual(names(["lint,fmt"]), ["fmt", "lint"]);
    assert.deepEqual(names(["kustomize", "fmt"]), ["fmt", "kustomize/argo", "kustomize/home"]);
    assert.deepEqual(names(["kustomize"], ["kustomize/home"]), ["kustomize/argo"]);
    assert.deepEqual(names([], [" kustomize , lint "]), ["fmt", "kustom"]);
  });

  test("an unknown name is wrong usage that lists those there are, and so is nothing at all", () => {
    for (const given of [
      { only: ["fmt", "kust"], skip: [] },
      { only: [], skip: ["kust"] },
    ]) {
      assert.throws(
        () => selectChecks(all, given),
        (error: unknown) => {
          assert(error instanceof UsageError);
          assert.equal(error.what, 'There is no check called "kust"');
          assert.deepEqual(error.todo.slice(1), ["fmt", "kustomize/argo, kustomize/home", "kustom", "lint"]);
          return true;
        },
      );
    }
    assert.throws(() => selectChecks(all, { only: ["fmt"], skip: ["fmt"] }), /No check is left/);
  });
});

test("the report tells check by check what was seen and what to do, failures last", () => {
  const result = (name: string, findings: readonly Finding[]): CheckResult => ({
    name,
    title: "",
    needs: [],
    state: "failed",
    ms: 1,
    findings,
  });
  const text = report(
    [
      result("one", [
        { state: "failed", evidence: "a.sh:1\na.sh:2", fix: ["Mend it:", "$ mend a.sh"] },
        { state: "warning", evidence: "b.sh:1", fix: [] },
      ]),
      result("two", [{ state: "unavailable", evidence: "no helm", fix: ["get it"], missing: "helm" }]),
      result("three", []),
    ],
    { color: false },
  );
  assert.equal(
    text,
    [
      "⚠ one",
      "    b.sh:1",
      "",
      "⚠ two  not checked in full",
      "    no helm",
      "    → get it",
      "",
      "✖ one  failed",
      "    a.sh:1",
      "    a.sh:2",
      "    → Mend it:",
      "      $ mend a.sh",
    ].join("\n"),
  );
});

test("the report breaks prose at the terminal's width, and neither commands nor places in files", () => {
  const long = "The chart was not fetched because the host of its publisher cannot be reached from here";
  const command = `$ helm pull ${"x".repeat(80)}`;
  const findings: Finding[] = [{ state: "warning", evidence: long, fix: [long, command] }];
  const text = report([{ name: "one", title: "", needs: [], state: "warning", ms: 1, findings }], {
    color: false,
    columns: 50,
  });
  const lines = text.split("\n");
  assert.ok(
    lines.every((line) => line.length <= 50 || line.includes("$ helm")),
    text,
  );
  assert.deepEqual(lines.slice(0, 4), [
    "⚠ one",
    "    The chart was not fetched because the host of",
    "    its publisher cannot be reached from here",
    "    → The chart was not fetched because the host",
  ]);
  assert.ok(lines.at(-1)?.endsWith(command));
});
