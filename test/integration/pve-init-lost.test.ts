import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
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

/** The commands that it says to run now. */
function commandsIn(stderr: string): string[] {
  return [...stderr.matchAll(/^\s+\$ (npm run pve-init.*)$/gm)].map(([, command = ""]) => command);
}

describe("what to do now is about the same user, token and roles", () => {
  const given = "--user own@pve --token mine --role-prefix Own";

  async function failing(code: number, ...flags: string[]): Promise<string[]> {
    const { exitCode, stderr } = await lab.init([...flags, "--yes"]);
    assert.equal(exitCode, code, stderr);
    return commandsIn(stderr);
  }

  test("where there is no token to replace", async () => {
    assert.deepEqual(await failing(2, ...given.split(" "), "--rotate"), [`npm run pve-init -- ${given}`]);
    assert.deepEqual(await failing(2, "--token", "other", "--rotate"), ["npm run pve-init -- --token other"]);
  });

  test("where the secret is not in .env", async () => {
    assert.equal((await lab.init([...given.split(" "), "--yes"])).exitCode, 0);
    rmSync(lab.dotenv);
    assert.deepEqual(await failing(2, ...given.split(" ")), [
      `npm run pve-init -- ${given} --rotate`,
      "npm run pve-init -- --user own@pve --token mine-here --role-prefix Own",
    ]);
    assert.deepEqual(await failing(2), [
      "npm run pve-init -- --rotate",
      "npm run pve-init -- --token tasks-here",
    ]);
  });

  test("where the token in .env is not taken", async () => {
    await done("taken");
    const { PM_TLS_CA = "", PM_API_TOKEN_ID = "" } = lab.saved();
    const another = "01234567-89ab-4cde-8f01-23456789abcd";
    const lines = { PM_TLS_CA, PM_API_TOKEN_ID, PM_API_TOKEN_SECRET: another };
    writeFileSync(
      lab.dotenv,
      Object.entries(lines)
        .map(([name, value]) => `${name}=${value}\n`)
        .join(""),
    );
    const again = "npm run pve-init -- --user taken@pve --role-prefix Roletaken --rotate";
    assert.deepEqual(await failing(1, ...names("taken")), [again]);
  });

  for (const flags of [[], ["--rotate"]]) {
    test(`where a token that was made just now is not taken, ${flags[0] ?? "the first one"}`, async () => {
      const user = flags.length === 0 ? "fresh" : "second";
      if (flags.length > 0) await done(user);
      const access = lab.access();
      lab.sandbox.faults.set([
        { where: "api", match: "GET /access/permissions*", count: "always", effect: { status: 401 } },
      ]);
      const { exitCode, stderr } = await lab.init([...names(user), "--yes", ...flags]);
      lab.sandbox.faults.clear();
      assert.equal(exitCode, 1, stderr);
      assert.match(stderr, /PM_API_URL and PM_SSH_HOST[\s\S]*Rolled back: token /);
      // There is nothing to replace: it is gone again.
      const more = flags.map((flag) => ` ${flag}`).join("");
      const again = `npm run pve-init -- --user ${user}@pve --role-prefix Role${user}${more}`;
      assert.deepEqual(commandsIn(stderr), [again]);
      assert.deepEqual(lab.access(), access);
    });
  }
});
