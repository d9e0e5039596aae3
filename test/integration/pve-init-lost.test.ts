import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { type Access, InitLab } from "../support/pve-init.ts";
import { onNode } from "../support/ssh.ts";

/** The token was replaced before, or goes by names of its own, and .env is lost: it is still seen, replaced and named. */

const base = mkdtempSync(join(tmpdir(), "homelab-pve-init-lost-"));
let lab: InitLab;
before(async () => {
  lab = await InitLab.open(join(base, "node"), 9);
});
after(async () => {
  await lab.close();
  rmSync(base, { recursive: true, force: true });
});
afterEach(() => rmSync(lab.dotenv, { force: true }));

const names = (user: string): string[] => ["--user", `${user}@pve`, "--role-prefix", `Role${user}`];

async function done(user: string, ...flags: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await lab.init([...names(user), "--yes", ...flags]);
  assert.equal(exitCode, 0, stderr);
  return stdout;
}

function tokensOf(user: string): Access["users"][number]["tokens"] {
  return lab.access().users.find(({ userid }) => userid === `${user}@pve`)?.tokens ?? {};
}

const SETTLED = { privsep: true, comment: "homelab pve-init" };

describe("a token that has replaced another one, without its .env", () => {
  test("is told of, and no second one is made beside it", async () => {
    await done("told");
    await done("told", "--rotate");
    rmSync(lab.dotenv);
    const access = lab.access();
    const { exitCode, stderr } = await lab.init([...names("told"), "--yes"]);
    assert.equal(exitCode, 2, stderr);
    assert.match(stderr, /The token told@pve!tasks-2 is there, and its secret is not in \.env/);
    assert.deepEqual(lab.access(), access);
  });

  test("is replaced by --rotate", async () => {
    await done("turn");
    await done("turn", "--rotate");
    const old = lab.saved();
    rmSync(lab.dotenv);
    assert.equal(await done("turn", "--rotate"), "turn@pve!tasks-3 has replaced turn@pve!tasks-2\n");
    assert.deepEqual(tokensOf("turn"), { "tasks-3": SETTLED });
    await assert.rejects(lab.api(old).call("GET", "/version"), /401/);
    await lab.api().call("GET", "/version");
  });

  test("is replaced together with others of its names, but for those of another --token", async () => {
    await done("many", "--token", "tasks-here");
    const here = lab.saved();
    rmSync(lab.dotenv);
    await done("many");
    for (const name of ["tasks-2", "tasks-7"]) {
      const add = `pveum user token add many@pve ${name} --privsep 1 --comment '${SETTLED.comment}'`;
      assert.equal((await onNode(lab.sandbox.endpoints, add)).exit, 0);
    }
    await done("many");
    rmSync(lab.dotenv);
    const { stderr } = await lab.init([...names("many"), "--yes"]);
    assert.match(stderr, /tokens many@pve!tasks, many@pve!tasks-2 and many@pve!tasks-7 are there, and their/);
    const rules = [{ where: "command", match: "pveum user token add*", effect: { exit: 1 } }] as const;
    lab.sandbox.faults.set(rules);
    const before = tokensOf("many");
    const failed = await lab.init([...names("many"), "--yes", "--rotate"]);
    lab.sandbox.faults.clear();
    assert.equal(failed.exitCode, 1, failed.stderr);
    assert.deepEqual(tokensOf("many"), before);
    assert.match(
      await done("many", "--rotate"),
      /^many@pve!tasks-8 has replaced many@pve!tasks, many@pve!tasks-2 and many@pve!tasks-7\n$/,
    );
    assert.deepEqual(tokensOf("many"), { "tasks-8": SETTLED, "tasks-here": SETTLED });
    await lab.api(here).call("GET", "/version");
  });
});
