import assert from "node:assert/strict";
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { parse } from "dotenv";
import type { Ended, Running } from "../support/command-line.ts";
import { NO_TERMINAL, startInTerminal } from "../support/terminal.ts";
import { WorkingCopy } from "../support/working-copy.ts";

/** Missing settings are asked for: by a person's keys in a real terminal, in a clone with its own .env. */

const copy = new WorkingCopy();
const dotenv = join(copy.root, ".env");
const started: Running[] = [];
after(() => {
  for (const { child } of started) child.kill("SIGKILL");
  copy.remove();
});
beforeEach(() => rmSync(dotenv, { force: true }));

const URL = "https://10.1.2.3:8006/api2/json";
const SECRET = "12345678-90ab-cdef-1234-567890abcdef";
const ENTER = "\r";
const rubOut = (text: string): string[] => [...text].map(() => "\u007f");
const CTRL_C = "\u0003";

/** `images --dry-run` needs three settings, and then ends without asking any node. */
function start(flags = "--dry-run", env: Record<string, string> = {}): Running {
  const running = startInTerminal(`'${process.execPath}' --import tsx tasks/images.ts ${flags}`, {
    cwd: copy.root,
    env: { HOME: copy.home, CI: "", ...env },
  });
  started.push(running);
  return running;
}

/** Type an answer once a question is asked. */
async function answer(running: Running, question: RegExp, ...keys: string[]): Promise<void> {
  await running.until(question);
  for (const key of keys) {
    await sleep(20);
    running.child.stdin?.write(key);
  }
}

/** What a terminal shows, without its colours and movements. */
function shown({ stdout }: Ended): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: terminals are driven by them
  return stdout.replace(/\u001b\[[\d;?]*[A-Za-z]|\u0007/g, "");
}

const ASKED = {
  url: /\? PM_API_URL/,
  id: /\? PM_API_TOKEN_ID/,
  secret: /\? PM_API_TOKEN_SECRET/,
  save: /Save these \d answers to \.env/,
};
// Colours stand between the question mark and the name.
for (const [name, form] of Object.entries(ASKED) as [keyof typeof ASKED, RegExp][]) {
  ASKED[name] = new RegExp(form.source.replace("\\? ", "\\?\\S* \\S*"));
}

describe("missing settings", { skip: NO_TERMINAL }, () => {
  test("are asked for one after another, explained, and saved on request; the secret is never shown", async () => {
    writeFileSync(dotenv, "# mine\nPM_NODE=pve2 # the second\n\nPM_API_URL=\n\nEDITOR='vi'\n");
    chmodSync(dotenv, 0o644);
    const running = start();
    await answer(running, ASKED.url, URL, ENTER);
    await answer(running, ASKED.id, ENTER);
    await answer(running, ASKED.secret, SECRET, ENTER);
    await answer(running, ASKED.save, "y");
    const ended = await running.ended;
    assert.equal(ended.code, 0, ended.stdout);
    const text = shown(ended);
    assert.match(text, /3 settings are missing/);
    assert.match(text, /PM_API_TOKEN_ID: API token's id\s+Where to get it: Datacenter → Permissions/);
    assert.match(text, /Default: homelab@pve!tasks \(Enter takes it\)/);
    assert.match(text, /What you type is not shown/);
    assert.match(text, /Saved to \.env: PM_API_URL, PM_API_TOKEN_ID, PM_API_TOKEN_SECRET/);
    assert.match(text, /The steps would be:/, "and the command goes on");
    for (const part of [SECRET, "12345678", "567890abcdef"]) assert.ok(!ended.stdout.includes(part), part);
    assert.equal(
      readFileSync(dotenv, "utf8"),
      `# mine\nPM_NODE=pve2 # the second\n\nPM_API_URL=${URL}\n\nEDITOR='vi'\nPM_API_TOKEN_ID='homelab@pve!tasks'\nPM_API_TOKEN_SECRET=${SECRET}\n`,
    );
    assert.equal(statSync(dotenv).mode & 0o777, 0o600);
    assert.deepEqual(
      readdirSync(copy.root).filter((name) => /^\.env./.test(name)),
      [],
      "nothing else is left",
    );

    const again = await start().ended;
    assert.equal(again.code, 0, "what was saved is found");
    assert.doesNotMatch(shown(again), /missing/);
  });

  test("an answer that is not valid is explained and asked for again", async () => {
    const running = start("--dry-run", { PM_API_TOKEN_ID: "me@pam!it", PM_SSH_HOST: "10.9.9.9" });
    await answer(running, ASKED.url, "http://10.1.2.3", ENTER);
    await running.until(/PM_API_URL is not valid: it must begin with https:/);
    await answer(running, ASKED.url, ...rubOut("http://10.1.2.3"), URL, ENTER);
    await answer(running, ASKED.secret, "no-uuid-but-secret", ENTER);
    await running.until(/PM_API_TOKEN_SECRET is not valid: it must be a UUID/);
    await answer(running, ASKED.secret, ...rubOut("no-uuid-but-secret"), SECRET, ENTER);
    await answer(running, ASKED.save, "y");
    const ended = await running.ended;
    assert.equal(ended.code, 0, ended.stdout);
    assert.match(shown(ended), /Default: https:\/\/10\.9\.9\.9:8006\/api2\/json/);
    assert.ok(!ended.stdout.includes("no-uuid-but"), "a refused secret is not shown either");
    const saved = parse(readFileSync(dotenv));
    assert.deepEqual({ ...saved }, { PM_API_URL: URL, PM_API_TOKEN_SECRET: SECRET });
  });

  test("an empty answer is none where there is no default", async () => {
    const running = start();
    await answer(running, ASKED.url, ENTER);
    await running.until(/It is needed/);
    await answer(running, ASKED.url, CTRL_C);
    assert.equal((await running.ended).code, 130);
  });

  for (const [key, how] of [
    ["n", "refused"],
    [ENTER, "not asked for"],
  ] as const) {
    test(`are not saved when that is ${how}`, async () => {
      const running = start("--dry-run", { PM_API_TOKEN_ID: "me@pam!it" });
      await answer(running, ASKED.url, URL, ENTER);
      await answer(running, ASKED.secret, SECRET, ENTER);
      await answer(running, ASKED.save, key);
      const ended = await running.ended;
      assert.equal(ended.code, 0, ended.stdout);
      assert.match(shown(ended), /Not saved: they count for this run alone[\s\S]*The steps would be/);
      assert.equal(existsSync(dotenv), false);
    });
  }

  for (const at of ["secret", "save"] as const) {
    test(`Ctrl-C at the ${at === "save" ? "last question" : "secret"} is exit code 130, and nothing is saved`, async () => {
      const running = start();
      await answer(running, ASKED.url, URL, ENTER);
      await answer(running, ASKED.id, ENTER);
      if (at === "save") await answer(running, ASKED.secret, SECRET, ENTER);
      await answer(running, ASKED[at], CTRL_C);
      const ended = await running.ended;
      assert.equal(ended.code, 130, ended.stdout);
      assert.match(shown(ended), /Interrupted[\s\S]*No answer was given[\s\S]*Nothing was saved/);
      assert.equal(existsSync(dotenv), false);
      assert.ok(
        ended.stdout.lastIndexOf("\u001b[?25h") > ended.stdout.lastIndexOf("\u001b[?25l"),
        "the cursor is shown again",
      );
    });
  }

  test("what is malformed is told before anybody types", async () => {
    const ended = await start("--dry-run", { PM_TLS_INSECURE: "perhaps" }).ended;
    assert.equal(ended.code, 2);
    assert.match(shown(ended), /PM_TLS_INSECURE is not valid/);
    assert.doesNotMatch(shown(ended), /are missing \(\.env\.example/);
  });

  for (const [why, flags, env] of [
    ["with --json", "--dry-run --json", {}],
    ["with --yes", "--dry-run --yes", {}],
    ["in CI", "--dry-run", { CI: "true" }],
  ] as const) {
    test(`are an error ${why}, terminal or not`, async () => {
      const ended = await start(flags, env).ended;
      assert.equal(ended.code, 2);
      assert.match(shown(ended), /3 settings need attention[\s\S]*PM_API_URL is missing/);
    });
  }
});

test("without a terminal, missing settings are an error", async () => {
  const { exitCode, stderr } = await copy.task("images", ["--dry-run"], { CI: "" });
  assert.equal(exitCode, 2);
  assert.match(
    stderr,
    /3 settings need attention[\s\S]*PM_API_TOKEN_SECRET is missing[\s\S]*Where to get it/,
  );
});
