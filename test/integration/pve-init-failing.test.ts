import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { addToken, carryOut, NodeShell, pendingMark } from "../../lib/proxmox/index.ts";
import { runMark } from "../../lib/run-mark.ts";
import type { FaultRule } from "../../lib/sandbox/index.ts";
import { InitLab } from "../support/pve-init.ts";
import { onNode } from "../support/ssh.ts";

/** The command that makes a token fails after it has made one: its secret stays unseen, and the token does not stay. */

const base = mkdtempSync(join(tmpdir(), "homelab-pve-init-failing-"));
let lab: InitLab;
before(async () => {
  lab = await InitLab.open(join(base, "node"), 9);
});
after(async () => {
  await lab.close();
  rmSync(base, { recursive: true, force: true });
});
afterEach(() => {
  lab.sandbox.faults.clear();
  rmSync(lab.dotenv, { force: true });
});

const UUID = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/i;
/** What no form betrays: only what stands around it tells that it is a secret. */
const UNUSUAL = "Zm9yLXRoZS10b2tlbi1hbG9uZQ";

type Effect = Extract<FaultRule, { where: "command" }>["effect"];

function tokenAdd(effect: Effect): FaultRule {
  return { where: "command", match: "pveum user token add*", effect };
}

const names = (user: string): string[] => ["--user", `${user}@pve`, "--role-prefix", `Role${user}`, "--yes"];

async function pveum(line: string): Promise<void> {
  const { exit, stderr } = await onNode(lab.sandbox.endpoints, `pveum ${line}`);
  assert.equal(exit, 0, stderr);
}

const ENDS: readonly (readonly [how: string, effect: Effect])[] = [
  ["and says nothing", { exit: 1, when: "after" }],
  ["with a warning", { exit: 1, when: "after", stderr: "cfs-lock 'file-user_cfg' error: no quorum!\n" }],
  [
    "with the secret in its reason",
    { exit: 1, when: "after", stderr: "value: 3fb2bd58-1234-4234-8234-1234567890ab\n" },
  ],
  ["as if ssh had", { exit: 255, when: "after" }],
  ["as if it were not there", { exit: 127, when: "after", stderr: "sh: line 1: pveum: not found\n" }],
  ["with a secret of another form", { exit: 1, stdout: `{"value":"${UNUSUAL}"}\n` }],
  ["well, but with an answer of another form", { exit: 0, when: "after", stdout: "and more\n" }],
];

describe("pveum user token add ends after its work", () => {
  for (const [at, [how, effect]] of ENDS.entries()) {
    for (const flags of at === 0 ? [[], ["--verbose"], ["--json"]] : [["--verbose"]]) {
      const shown = flags.length === 0 ? "" : `, ${flags.join(" ")}`;
      test(`${how}${shown}: no secret is shown, and no token stays`, async () => {
        const access = lab.access();
        lab.sandbox.faults.set([tokenAdd(effect)]);
        const user = `u${at}${flags[0]?.slice(2) ?? ""}`;
        const { exitCode, stdout, stderr } = await lab.init([...names(user), ...flags]);
        assert.equal(exitCode, 1, stderr);
        for (const text of [stdout, stderr]) {
          assert.doesNotMatch(text, UUID);
          assert.ok(!text.includes(UNUSUAL), text);
        }
        assert.match(stderr, /Rolled back: token \S+!tasks removed/);
        assert.doesNotMatch(stderr, /Left behind/);
        assert.deepEqual(lab.access(), access);
        assert.ok(!existsSync(lab.dotenv) || !readFileSync(lab.dotenv, "utf8").includes("TOKEN"));
      });
    }
  }

  test("--rotate takes the second token back, and the first one counts as before", async () => {
    assert.equal((await lab.init(names("turn"))).exitCode, 0);
    const access = lab.access();
    lab.sandbox.faults.set([tokenAdd({ exit: 1, when: "after" })]);
    const { exitCode, stderr } = await lab.init([...names("turn"), "--rotate"]);
    assert.equal(exitCode, 1, stderr);
    assert.match(stderr, /exit code 1[\s\S]*Rolled back: token turn@pve!tasks-2 removed/);
    assert.doesNotMatch(stderr, UUID);
    assert.deepEqual(lab.access(), access);
    await lab.api().call("GET", "/version");
  });

  test("a token of that name that somebody else has made in the meantime stays", async () => {
    assert.equal((await lab.init(names("theirs"))).exitCode, 0);
    await pveum("user token modify theirs@pve tasks --comment mine");
    const access = lab.access();
    const { sshHost: host, sshPort: port, sshUser: user, sshConfigFile: configFile } = lab.sandbox.endpoints;
    const shell = new NodeShell({ host, port, user, configFile });
    const undone: (() => Promise<void>)[] = [];
    const carrying = {
      signal: new AbortController().signal,
      output: () => {},
      undo: (_: string, action: () => Promise<void>) => void undone.push(action),
    };
    try {
      const change = addToken("theirs@pve", "tasks", pendingMark(runMark()));
      await assert.rejects(carryOut(shell, [change], carrying), /already exists/);
      assert.equal(undone.length, 1);
      for (const action of undone) await action();
    } finally {
      await shell.close();
    }
    assert.deepEqual(lab.access(), access);
  });
});
