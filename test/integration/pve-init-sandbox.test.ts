import assert from "node:assert/strict";
import { readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { parse } from "dotenv";
import { WorkingCopy } from "../support/working-copy.ts";

/** pve-init as people try it first: with --sandbox, whose tokens lie in a file of their own. */

const FILE = ".homelab/sandbox/pve-init.env";
/** Of a real node: it neither counts nor is it touched. */
const DOTENV = "PM_API_TOKEN_ID=try@pve!tasks\nPM_API_TOKEN_SECRET=00000000-0000-4000-8000-000000000000\n";

let copy: WorkingCopy;
before(() => {
  copy = new WorkingCopy();
  writeFileSync(join(copy.root, ".env"), DOTENV, { mode: 0o600 });
});
after(() => copy.remove());

interface Said {
  readonly stdout: string;
  readonly stderr: string;
}

async function init(code: number, ...flags: string[]): Promise<Said> {
  const { exitCode, stdout, stderr } = await copy.task("pve-init", ["--sandbox", "--yes", ...flags]);
  assert.equal(exitCode, code, stderr);
  assert.equal(readFileSync(join(copy.root, ".env"), "utf8"), DOTENV);
  return { stdout, stderr };
}

const of = (user: string): string[] => ["--user", `${user}@pve`, "--role-prefix", `Role${user}`];

function saved(): Readonly<Record<string, string>> {
  return parse(readFileSync(join(copy.root, FILE), "utf8"));
}

function access(): string {
  return readFileSync(join(copy.root, ".homelab", "sandbox", "state", "access.json"), "utf8");
}

describe("pve-init --sandbox", () => {
  test("says where the token is, and that a second run changes nothing", async () => {
    const first = await init(0, ...of("try"));
    assert.equal(first.stdout, `try@pve!tasks may do what the tasks need; it is in ${FILE}\n`);
    // That one stays the sandbox's own.
    assert.doesNotMatch(first.stderr, /homelab@pve!tasks now/);
    assert.equal(statSync(join(copy.root, FILE)).mode & 0o777, 0o600);
    const [before, there] = [saved(), access()];
    assert.equal(before.PM_API_TOKEN_ID, "try@pve!tasks");
    const second = await init(0, ...of("try"));
    assert.equal(second.stdout, "Nothing to change: try@pve!tasks may do what the tasks need\n");
    assert.deepEqual([saved(), access()], [before, there]);
  });

  test("takes the sandbox's own token for that user alone", async () => {
    const before = saved();
    const { stdout } = await init(0);
    assert.equal(stdout, "Nothing to change: homelab@pve!tasks may do what the tasks need\n");
    assert.deepEqual(saved(), before);
    const { stderr } = await init(2, "--rotate", "--token", "mine");
    assert.match(stderr, /own token stays as it is[\s\S]*-- --sandbox --user try@pve --token mine$/m);
  });

  test("--rotate replaces the token in that file", async () => {
    await init(0, ...of("turn"));
    const { stdout } = await init(0, ...of("turn"), "--rotate");
    assert.equal(stdout, "turn@pve!tasks-2 has replaced turn@pve!tasks\n");
    assert.equal(saved().PM_API_TOKEN_ID, "turn@pve!tasks-2");
    assert.match((await init(0, ...of("turn"))).stdout, /^Nothing to change: turn@pve!tasks-2/);
  });

  test("--remove takes the token out of that file", async () => {
    await init(0, ...of("leave"));
    const { stderr } = await init(0, ...of("leave"), "--remove");
    assert.match(stderr, new RegExp(`✔ Take the token out of ${FILE}`));
    assert.doesNotMatch(stderr, /it is not there/);
    assert.deepEqual([saved().PM_API_TOKEN_ID, saved().PM_API_TOKEN_SECRET], ["", ""]);
  });

  test("names that file where the secret is lost", async () => {
    await init(0, ...of("lost"));
    rmSync(join(copy.root, FILE));
    const { stderr } = await init(2, ...of("lost"));
    assert.match(
      stderr,
      new RegExp(`its secret is not in ${FILE}[\\s\\S]*put it into ${FILE}: PM_API_TOKEN_ID`),
    );
    assert.match(stderr, /\$ npm run pve-init -- --sandbox --user lost@pve --role-prefix Rolelost --rotate/);
    assert.match((await init(0, ...of("lost"), "--rotate")).stdout, /^lost@pve!tasks-2 has replaced/);
    const none = await init(2, ...of("none"), "--rotate");
    assert.match(none.stderr, new RegExp(`Neither the one in ${FILE} nor none@pve!tasks`));
  });
});
