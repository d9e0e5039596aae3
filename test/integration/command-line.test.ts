import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import {
  type Ended,
  type Running,
  runTask,
  startCommand,
  startTask,
  TRY_OUT,
} from "../support/command-line.ts";

const base = mkdtempSync(join(tmpdir(), "homelab-command-"));
const started: Running[] = [];
after(() => {
  for (const { child } of started) child.kill("SIGKILL");
  rmSync(base, { recursive: true, force: true });
});

function start(...args: string[]): Running {
  const running = startTask(TRY_OUT, ...args);
  started.push(running);
  return running;
}

/** stdout as machines read it: every line is an object. */
function events({ stdout }: Ended): Record<string, unknown>[] {
  assert.match(stdout, /\n$/);
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe("a command", { concurrency: 2 }, () => {
  test("without a terminal: plain lines on stderr, the result alone on stdout, exit code 0", async () => {
    const { code, stdout, stderr } = await runTask(TRY_OUT, "done");
    assert.equal(code, 0);
    assert.equal(stdout, "it is there\n");
    assert.equal(stderr, "✔ Make it\n• mind the gap\n✔ Do it\n");
  });

  test("--json: stdout carries events alone, the last one is the result", async () => {
    const ended = await runTask(TRY_OUT, "done", "--json", "--allow-it", "a", "--allow-it=b");
    assert.equal(ended.code, 0);
    assert.equal(ended.stderr, "");
    assert.deepEqual(
      events(ended).map(({ ms, ...event }) => {
        assert.equal(typeof ms, event.event === "step" ? "number" : "undefined");
        return event;
      }),
      [
        { event: "step", title: "Make it", depth: 0, within: [], state: "started" },
        { event: "step", title: "Make it", depth: 0, within: [], state: "done" },
        { event: "step", title: "Do it", depth: 0, within: [], state: "started" },
        { event: "note", text: "mind the gap" },
        { event: "step", title: "Do it", depth: 0, within: [], state: "done" },
        { event: "result", ok: true, made: "it", names: ["a", "b"] },
      ],
    );
  });

  test("a failing step is exit code 1: what failed, why, what to do, what was rolled back, and no stack trace", async () => {
    const { code, stdout, stderr } = await runTask(TRY_OUT, "fail");
    assert.equal(code, 1);
    assert.equal(stdout, "");
    assert.equal(
      stderr,
      [
        "✔ Make it",
        "✖ Do it",
        "",
        "✖ It broke",
        "",
        "  Why",
        "    too thin",
        "",
        "  What to do now",
        "    $ mend it",
        "",
        "  What was left or rolled back",
        "    Rolled back: it removed",
        "",
      ].join("\n"),
    );
  });

  test("--verbose shows the stack trace", async () => {
    const { stderr } = await runTask(TRY_OUT, "fail", "--verbose");
    assert.match(stderr, /at .*try-out\.ts:\d+/);
  });

  test("--json: a failing step ends with a result that is not ok", async () => {
    const ended = await runTask(TRY_OUT, "fail", "--json");
    assert.equal(ended.code, 1);
    assert.deepEqual(events(ended).at(-1), {
      event: "result",
      ok: false,
      exitCode: 1,
      error: { what: "It broke", why: "too thin", todo: ["$ mend it"], left: ["Rolled back: it removed"] },
    });
  });

  test("an error of ours names the step, without a stack trace", async () => {
    const { code, stderr } = await runTask(TRY_OUT, "bug");
    assert.equal(code, 1);
    assert.match(stderr, /✖ "Do it" failed\n\n {2}Why\n {4}x is undefined/);
    assert.doesNotMatch(stderr, /at .*try-out\.ts/);
  });

  test("an error of ours outside of any step is called a bug, for machines too", async () => {
    const ended = await runTask(TRY_OUT, "nothing-of-the-kind", "--json");
    assert.equal(ended.code, 1);
    assert.match(ended.stderr, /This is a bug in homelab[\s\S]*there is no way nothing-of-the-kind/);
    assert.match(JSON.stringify(events(ended).at(-1)), /"what":"This is a bug in homelab"/);
  });

  for (const flags of [[], ["--json"], ["--verbose"]]) {
    test(`a secret is not shown anywhere ${flags.length > 0 ? `with ${flags}` : "without flags"}`, async () => {
      const { stdout, stderr } = await runTask(TRY_OUT, "leak", ...flags);
      assert.match(stdout + stderr, /It broke: \*\*\*/);
      assert.doesNotMatch(stdout + stderr, /quoted/);
    });
  }

  for (const [mistake, args, why] of [
    ["an unknown flag", ["done", "--colour"], "Unknown option '--colour'"],
    ["a missing argument", [], "WHAT is missing"],
    ["an argument too many", ["done", "twice"], '"twice" is one argument too many'],
    ["a flag without its value", ["done", "--log"], "Option '--log <value>' argument missing"],
  ] as const) {
    test(`${mistake} is exit code 2, and points at --help`, async () => {
      const ended = await runTask(TRY_OUT, "--json", ...args);
      assert.equal(ended.code, 2);
      assert.deepEqual(events(ended), [
        {
          event: "result",
          ok: false,
          exitCode: 2,
          error: {
            what: "The command line was not understood",
            why,
            todo: ["$ npx tsx tasks/try-out.ts WHAT --help"],
            left: [],
          },
        },
      ]);
    });
  }

  test("--dry-run shows the steps with their commands and does nothing", async () => {
    const { code, stdout, stderr } = await runTask(TRY_OUT, "fail", "--dry-run");
    assert.equal(code, 0);
    assert.equal(stdout, "");
    assert.equal(
      stderr,
      "Nothing is done (--dry-run). The steps would be:\n  Make it\n    $ make it\n  Do it\n",
    );
    assert.deepEqual(events(await runTask(TRY_OUT, "fail", "--dry-run", "--json")), [
      { event: "result", ok: true, dryRun: true },
    ]);
  });

  test("a question without a terminal is exit code 2 and names --yes; with --yes it is answered", async () => {
    const asked = await runTask(TRY_OUT, "confirm");
    assert.equal(asked.code, 2);
    assert.match(asked.stderr, /There is no terminal to ask: Go on\?[\s\S]*--yes/);
    assert.match((await runTask(TRY_OUT, "confirm", "--yes")).stderr, /answer: true/);
  });

  test("--yes does not type a word", async () => {
    const { code, stderr } = await runTask(TRY_OUT, "typed", "--yes");
    assert.equal(code, 2);
    assert.match(stderr, /Run it on a terminal/);
  });

  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    test(`${signal} rolls back and is exit code 130, for machines too`, async () => {
      const running = start("wait", "--json");
      await running.until(/waiting in/);
      running.child.kill(signal);
      const ended = await running.ended;
      assert.equal(ended.code, 130);
      assert.deepEqual(events(ended).at(-1), {
        event: "result",
        ok: false,
        exitCode: 130,
        error: { what: "Interrupted", why: 'during "Do it"', todo: [], left: ["Rolled back: it removed"] },
      });
    });
  }

  test("a failure that an interruption brought about is exit code 130", async () => {
    const running = start("wrapped");
    await running.until(/waiting in/);
    running.child.kill("SIGINT");
    const { code, stderr } = await running.ended;
    assert.equal(code, 130);
    assert.match(stderr, /✖ Interrupted\n\n {2}Why\n {4}The tool failed: signal: terminated/);
  });

  test("one Ctrl-C that npm, npx and tsx pass on again does not cut the rollback short", async () => {
    const log = join(base, "undone");
    const running = start("wait", "--log", log);
    await running.until(/waiting in/);
    for (let times = 0; times < 3; times += 1) {
      running.child.kill("SIGINT");
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    assert.equal((await running.ended).code, 130);
    assert.equal(readFileSync(log, "utf8"), "undone\n");
  });

  test("a second Ctrl-C ends what does not end by itself", async () => {
    const running = start("stubborn");
    await running.until(/waiting in/);
    running.child.kill("SIGINT");
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    running.child.kill("SIGINT");
    const { code, stderr } = await running.ended;
    assert.equal(code, 130);
    assert.match(stderr, /Stopped at once: what was under way is left as it is/);
  });

  test("a reader that leaves early is no reason to crash", async () => {
    const line = `${JSON.stringify(process.execPath)} --import tsx ${TRY_OUT} --help | true; exit "\${PIPESTATUS[0]}"`;
    const { ended } = startCommand("bash", ["-c", line]);
    assert.deepEqual(await ended, { code: 0, stdout: "", stderr: "" });
  });

  test("a command is found without its file's ending too", async () => {
    const { code, stdout } = await runTask(TRY_OUT.replace(/\.ts$/, ""), "done");
    assert.deepEqual([code, stdout], [0, "it is there\n"]);
  });

  test("a command that is imported does not run", async () => {
    const program = `await import(${JSON.stringify(TRY_OUT)}); process.stdout.write("imported");`;
    const { ended } = startCommand(process.execPath, [
      "--import",
      "tsx",
      "--input-type=module",
      "-e",
      program,
      "no-such-file",
    ]);
    assert.deepEqual(await ended, { code: 0, stdout: "imported", stderr: "" });
  });
});
