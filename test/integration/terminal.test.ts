import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ROOT } from "../../lib/task/index.ts";
import { type Ended, type Running, TRY_OUT } from "../support/command-line.ts";
import { NO_TERMINAL, screenOf, startInTerminal } from "../support/terminal.ts";

const base = mkdtempSync(join(tmpdir(), "homelab-terminal-"));
const started: Running[] = [];
after(() => {
  for (const { child } of started) child.kill("SIGKILL");
  rmSync(base, { recursive: true, force: true });
});

const NODE = `'${process.execPath}' --import tsx`;

function start(line: string, options: Parameters<typeof startInTerminal>[1] = {}): Running {
  const running = startInTerminal(line, options);
  started.push(running);
  return running;
}

/** Press keys one after the other, as fingers do. */
async function press(running: Running, ...keys: string[]): Promise<void> {
  for (const key of keys) {
    await sleep(50);
    running.child.stdin?.write(key);
  }
}

const CTRL_C = "\u0003";
const ENTER = "\r";

/** The cursor that was hidden is shown again, and the keyboard is as it was. */
function assertRestored({ stdout }: Ended): void {
  assert.ok(
    stdout.lastIndexOf("\u001b[?25h") > stdout.lastIndexOf("\u001b[?25l"),
    "the cursor is shown again",
  );
}

describe("on a terminal", { skip: NO_TERMINAL, concurrency: 2 }, () => {
  test("the list is drawn, notes follow it, and the result comes last", async () => {
    const ended = await start(`${NODE} ${TRY_OUT} done`).ended;
    assert.equal(ended.code, 0);
    assert.deepEqual(screenOf(ended.stdout).slice(0, 4), [
      "✔ Make it",
      "✔ Do it",
      "• mind the gap",
      "it is there",
    ]);
    assertRestored(ended);
  });

  test("a failure is shown below the list", async () => {
    const ended = await start(`${NODE} ${TRY_OUT} fail`).ended;
    assert.equal(ended.code, 1);
    assert.deepEqual(screenOf(ended.stdout).slice(0, 6), [
      "✔ Make it",
      "✖ Do it",
      "",
      "✖ It broke",
      "",
      "  Why",
    ]);
    assertRestored(ended);
  });

  for (const [keys, answer] of [
    [["y"], "true"],
    [["Y"], "true"],
    [["n"], "false"],
    [[ENTER], "false"],
  ] as const) {
    test(`a question answered with ${JSON.stringify(keys.join(""))} is ${answer}`, async () => {
      const running = start(`${NODE} ${TRY_OUT} confirm`);
      await running.until(/Go on\?/);
      await press(running, ...keys);
      const ended = await running.ended;
      assert.equal(ended.code, 0);
      assert.match(ended.stdout, new RegExp(`answer: ${answer}`));
      assertRestored(ended);
    });
  }

  for (const [word, answer] of [
    ["k3s", "true"],
    ["k3x", "false"],
    ["", "false"],
  ] as const) {
    test(`"${word}" typed where "k3s" is wanted is ${answer}`, async () => {
      const running = start(`${NODE} ${TRY_OUT} typed`);
      await running.until(/Type the name/);
      await press(running, ...word, ENTER);
      assert.match((await running.ended).stdout, new RegExp(`answer: ${answer}`));
    });
  }

  for (const [flags, where] of [
    ["--json", "stderr"],
    ["", "a terminal without a list"],
  ] as const) {
    test(`a question is asked on ${where} too, where no list is drawn`, async () => {
      const running = start(`${NODE} ${TRY_OUT} confirm ${flags}`, { env: { TERM: "dumb" } });
      await running.until(/Go on\?/);
      await press(running, "y");
      const ended = await running.ended;
      assert.equal(ended.code, 0);
      assert.match(ended.stdout, /answer: true/);
    });
  }

  for (const way of ["confirm", "typed"]) {
    test(`Ctrl-C at the question of ${way} rolls back, is exit code 130 and restores the cursor`, async () => {
      const running = start(`${NODE} ${TRY_OUT} ${way}`);
      await running.until(/Go on\?|Type the name/);
      await press(running, CTRL_C);
      const ended = await running.ended;
      assert.equal(ended.code, 130);
      assert.match(ended.stdout, /Interrupted[\s\S]*No answer was given[\s\S]*Rolled back: it removed/);
      assertRestored(ended);
    });
  }

  test("a question is taken back when the process is told to end", async () => {
    const running = start(`sh -c 'echo "pid=$$"; exec ${NODE.replaceAll("'", "")} ${TRY_OUT} confirm'`);
    const [, pid] = await running.until(/pid=(\d+)/);
    await running.until(/Go on\?/);
    process.kill(Number(pid), "SIGTERM");
    const ended = await running.ended;
    assert.equal(ended.code, 130);
    assert.match(ended.stdout, /Rolled back: it removed/);
    assertRestored(ended);
  });

  test("Ctrl-C during a step shows the interruption and restores the cursor", async () => {
    const running = start(`${NODE} ${TRY_OUT} wait`);
    await running.until(/› waiting in/);
    await press(running, CTRL_C);
    const ended = await running.ended;
    assert.equal(ended.code, 130);
    assert.match(ended.stdout, /Interrupted[\s\S]*Rolled back: it removed/);
    assertRestored(ended);
  });

  test("a second Ctrl-C ends at once, and restores the cursor", async () => {
    const running = start(`${NODE} ${TRY_OUT} stubborn`);
    await running.until(/› waiting/);
    await press(running, CTRL_C);
    await sleep(1_100);
    await press(running, CTRL_C);
    const ended = await running.ended;
    assert.equal(ended.code, 130);
    assert.match(ended.stdout, /Stopped at once/);
    assertRestored(ended);
  });

  test("Ctrl-C under npm, which passes it on, still rolls back", async () => {
    const log = join(base, "undone");
    symlinkSync(join(ROOT, "node_modules"), join(base, "node_modules"));
    writeFileSync(
      join(base, "package.json"),
      JSON.stringify({ private: true, scripts: { it: `node --import tsx ${TRY_OUT} wait --log ${log}` } }),
    );
    const running = start("npm run --silent it", {
      cwd: base,
      env: { npm_config_update_notifier: "false" },
    });
    await running.until(/› waiting in/);
    await press(running, CTRL_C);
    assert.equal((await running.ended).code, 130);
    assert.equal(readFileSync(log, "utf8"), "undone\n");
  });
});
