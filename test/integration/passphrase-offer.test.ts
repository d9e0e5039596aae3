import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { parse } from "dotenv";
import type { Running } from "../support/command-line.ts";
import { NO_TERMINAL, startInTerminal } from "../support/terminal.ts";
import { tofuTools } from "../support/tofu.ts";
import { WorkingCopy } from "../support/working-copy.ts";

/** The first run in an environment offers to encrypt OpenTofu's state: by a person's keys in a real terminal. */

const copy = new WorkingCopy();
const dotenv = join(copy.root, ".env");
const key = join(copy.home, "id.pub");
const started: Running[] = [];
before(async () => {
  await tofuTools();
  writeFileSync(key, "ssh-ed25519 AAAA ann@laptop\n");
});
beforeEach(() => rmSync(dotenv, { force: true }));
after(() => {
  for (const { child } of started) child.kill("SIGKILL");
  copy.remove();
});

/** tf-init asks no node for anything. */
const SETTINGS = {
  PM_API_URL: "https://127.0.0.1:1/api2/json",
  PM_API_TOKEN_ID: "homelab@pve!tasks",
  PM_API_TOKEN_SECRET: "00000000-0000-0000-0000-000000000000",
  SSH_PUBLIC_KEY_FILE: key,
};
const READABLE = /OpenTofu's state will be readable here: set TF_STATE_PASSPHRASE/;

function start(): Running {
  const running = startInTerminal(`'${process.execPath}' --import tsx tasks/tf-init.ts`, {
    cwd: copy.root,
    env: { ...copy.env(SETTINGS), CI: "" } as Record<string, string>,
  });
  started.push(running);
  return running;
}

test("agreed to, a passphrase is made and saved to .env for its owner alone, and is not shown", {
  skip: NO_TERMINAL,
}, async () => {
  const running = start();
  await running.until(/Encrypt OpenTofu's state\?/);
  running.child.stdin?.write("y");
  const { code, stdout } = await running.ended;
  assert.equal(code, 0, stdout);
  const { TF_STATE_PASSPHRASE = "" } = parse(readFileSync(dotenv));
  assert.match(TF_STATE_PASSPHRASE, /^[\w-]{32}$/);
  assert.equal(statSync(dotenv).mode & 0o777, 0o600);
  assert.ok(!stdout.includes(TF_STATE_PASSPHRASE), "the passphrase is shown");
  assert.match(stdout, /Keep a copy in another\s+place/);
  assert.doesNotMatch(stdout, READABLE);
});

test("declined, nothing is saved, and it says what follows", { skip: NO_TERMINAL }, async () => {
  const running = start();
  await running.until(/Encrypt OpenTofu's state\?/);
  running.child.stdin?.write("n");
  const { code, stdout } = await running.ended;
  assert.equal(code, 0, stdout);
  assert.equal(existsSync(dotenv), false);
  assert.match(stdout.replace(/\s+/g, " "), READABLE);
});

test("where nobody can be asked, and with --yes, it says that the state is readable", async () => {
  for (const flags of [[], ["--yes"]]) {
    const { exitCode, stderr } = await copy.task("tf-init", flags, SETTINGS);
    assert.equal(exitCode, 0, stderr);
    assert.match(stderr, READABLE);
    assert.equal(existsSync(dotenv), false);
  }
});

test("with a passphrase nothing is asked and nothing is said", async () => {
  const { exitCode, stderr } = await copy.task("tf-init", [], {
    ...SETTINGS,
    TF_STATE_PASSPHRASE: "correct horse battery",
  });
  assert.equal(exitCode, 0, stderr);
  assert.doesNotMatch(stderr, READABLE);
});
