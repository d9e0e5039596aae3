import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { InitLab, type KillAt, partOf } from "../support/pve-init.ts";

/**
 * pve-init is killed (SIGKILL) at a command that it sends to the node, before the node gets it or once it is done, and run
 * again: it comes to the same end, and what .env says is never worth nothing.
 */

/** Every so many commands one is killed at; 1 tries all of them, both ways. */
const STRIDE = Number(process.env.PVE_INIT_KILL_STRIDE ?? 5);

const base = mkdtempSync(join(tmpdir(), "homelab-pve-init-kill-"));
let lab: InitLab;
before(async () => {
  lab = await InitLab.open(join(base, "node"), 9);
});
after(async () => {
  await lab.close();
  rmSync(base, { recursive: true, force: true });
});

const names = (user: string): string[] => ["--user", `${user}@pve`, "--role-prefix", `Role${user}`, "--yes"];

/** Where to kill a run that calls ssh so often. */
function points(calls: number): KillAt[] {
  const all = Array.from({ length: calls }, (_, at) => [
    { call: at + 1, done: false },
    { call: at + 1, done: true },
  ]).flat();
  // An odd stride meets both ways.
  return all.filter((_, at) => at % (STRIDE === 1 ? 1 : STRIDE * 2 - 1) === 0);
}

/** The token in .env is taken by the API, if there is one. */
async function demandValid(): Promise<void> {
  if (lab.saved().PM_API_TOKEN_ID) await lab.api().call("GET", "/version");
}

describe("killed in the middle and run again", () => {
  test("pve-init comes to the same end as one that was let alone", async (context) => {
    rmSync(lab.dotenv, { force: true });
    assert.equal((await lab.init(names("alone"))).exitCode, 0);
    const wanted = partOf(lab.access(), "alone@pve", "Rolealone");
    const all = points(lab.calls());
    for (const [at, kill] of all.entries()) {
      const where = `${kill.done ? "after" : "before"} call ${kill.call}`;
      const user = `k${at}x`;
      rmSync(lab.dotenv, { force: true });
      await lab.init(names(user), { kill });
      await demandValid();
      const { exitCode, stderr } = await lab.init(names(user));
      assert.equal(exitCode, 0, `${where}: ${stderr}`);
      assert.deepEqual(partOf(lab.access(), `${user}@pve`, `Role${user}`), wanted, where);
      await demandValid();
      assert.equal(lab.saved().PM_API_TOKEN_ID, `${user}@pve!tasks`, where);
    }
    context.diagnostic(`${all.length} kills`);
  });

  test("--rotate leaves one token, which is in .env and was valid at every moment", async (context) => {
    rmSync(lab.dotenv, { force: true });
    assert.equal((await lab.init(names("turn"))).exitCode, 0);
    assert.equal((await lab.init([...names("turn"), "--rotate"])).exitCode, 0);
    const all = points(lab.calls());
    for (const kill of all) {
      const where = `${kill.done ? "after" : "before"} call ${kill.call}`;
      await lab.init([...names("turn"), "--rotate"], { kill });
      await demandValid();
      const { exitCode, stderr } = await lab.init([...names("turn"), "--rotate"]);
      assert.equal(exitCode, 0, `${where}: ${stderr}`);
      await demandValid();
      const { users, acl } = partOf(lab.access(), "turn@pve", "Roleturn") as ReturnType<InitLab["access"]>;
      const { PM_API_TOKEN_ID: id = "" } = lab.saved();
      assert.deepEqual(
        users[0]?.tokens,
        { [id.replace(/^.*!/, "")]: { privsep: true, comment: "homelab pve-init" } },
        where,
      );
      assert.equal(acl.length, 8, where);
    }
    context.diagnostic(`${all.length} kills`);
  });

  test("--remove removes the rest", async (context) => {
    rmSync(lab.dotenv, { force: true });
    const none = lab.access();
    assert.equal((await lab.init(names("gone"))).exitCode, 0);
    assert.equal((await lab.init([...names("gone"), "--remove"])).exitCode, 0);
    const all = points(lab.calls());
    for (const kill of all) {
      const where = `${kill.done ? "after" : "before"} call ${kill.call}`;
      rmSync(lab.dotenv, { force: true });
      assert.equal((await lab.init(names("gone"))).exitCode, 0, where);
      await lab.init([...names("gone"), "--remove"], { kill });
      const { exitCode, stderr } = await lab.init([...names("gone"), "--remove"]);
      assert.equal(exitCode, 0, `${where}: ${stderr}`);
      assert.deepEqual(lab.access(), none, where);
    }
    context.diagnostic(`${all.length} kills`);
  });
});
