import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { RunResult } from "../../lib/process.ts";
import { ROOT } from "../../lib/task/index.ts";
import { InitLab, partOf } from "../support/pve-init.ts";
import { onNode } from "../support/ssh.ts";

/** pve-init as a person runs it, on a node of its own, in a clone with its own .env. */

const base = mkdtempSync(join(tmpdir(), "homelab-pve-init-"));
after(() => rmSync(base, { recursive: true, force: true }));

for (const release of [9, 8] as const) {
  describe(`pve-init on Proxmox VE ${release}`, () => {
    let lab: InitLab;
    const outputs: RunResult[] = [];
    const secrets = new Set<string>();
    before(async () => {
      lab = await InitLab.open(join(base, `node-${release}`), release);
    });
    after(async () => await lab.close());
    beforeEach(() => rmSync(lab.dotenv, { force: true }));

    /** Run it as a user of its own. */
    async function init(user: string, ...flags: string[]): Promise<RunResult> {
      const names = ["--user", `${user}@pve`, "--role-prefix", `Role${user}`];
      const ended = await lab.init([...names, ...flags]);
      outputs.push(ended);
      const { PM_API_TOKEN_SECRET: secret } = lab.saved();
      if (secret) secrets.add(secret);
      return ended;
    }

    async function done(user: string, ...flags: string[]): Promise<RunResult> {
      const ended = await init(user, ...flags);
      assert.equal(ended.exitCode, 0, ended.stderr);
      return ended;
    }

    /** A command at the node's prompt, which has to succeed. */
    async function pveum(line: string): Promise<string> {
      const { exit, stdout, stderr } = await onNode(lab.sandbox.endpoints, `pveum ${line}`);
      assert.equal(exit, 0, stderr);
      return stdout;
    }

    test("makes all that is missing, saves the token, and a second run changes nothing and says so", async () => {
      writeFileSync(lab.dotenv, "# mine\nPM_NODE=pve\n", { mode: 0o644 });
      const { stdout, stderr } = await done("fresh", "--yes", "--verbose");
      assert.equal(stdout, "fresh@pve!tasks may do what the tasks need; it is in .env\n");
      assert.match(stderr, /pveum user add fresh@pve[\s\S]*pveum user token add fresh@pve tasks --privsep 1/);
      assert.equal(lab.dotenvMode(), "600");
      assert.match(readFileSync(lab.dotenv, "utf8"), /^# mine\nPM_NODE=pve\n/);
      const { PM_API_TOKEN_ID, PM_TLS_CA = "" } = lab.saved();
      assert.equal(PM_API_TOKEN_ID, "fresh@pve!tasks");
      const node = readFileSync(lab.sandbox.endpoints.caFile, "utf8");
      assert.equal(readFileSync(PM_TLS_CA, "utf8"), node, "the node's CA was saved, too");
      const agent = release === 9 ? "VM.GuestAgent.Audit" : "VM.Monitor";
      const { "/vms": held = {}, ...others } = (await lab.api().call("GET", "/access/permissions")) as Record<
        string,
        Record<string, number>
      >;
      assert.ok(agent in held, JSON.stringify(held));
      assert.deepEqual(Object.keys(others).sort(), [
        "/sdn/zones/localnetwork/vmbr0",
        "/storage/local",
        "/storage/vmdata",
      ]);

      const [env, access] = [readFileSync(lab.dotenv, "utf8"), lab.access()];
      const again = await done("fresh", "--yes");
      assert.equal(again.stdout, "Nothing to change: fresh@pve!tasks may do what the tasks need\n");
      assert.doesNotMatch(again.stderr, /pveum (user|role|acl) (add|modify|delete)/);
      assert.deepEqual([readFileSync(lab.dotenv, "utf8"), lab.access()], [env, access]);
    });

    test("gives the same as what --dry-run prints, pasted at the node's prompt", async () => {
      const { stdout } = await done("paste", "--dry-run", "--release", String(release));
      const { exit, stdout: shown, stderr } = await onNode(lab.sandbox.endpoints, stdout);
      assert.deepEqual([exit, stderr], [0, ""]);
      await done("same", "--yes");
      const access = lab.access();
      assert.deepEqual(partOf(access, "paste@pve", "Rolepaste"), partOf(access, "same@pve", "Rolesame"));
      const [secret = ""] = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/.exec(shown) ?? [];
      writeFileSync(lab.dotenv, `PM_API_TOKEN_ID=paste@pve!tasks\nPM_API_TOKEN_SECRET=${secret}\n`);
      const after = await done("paste", "--yes");
      assert.match(after.stdout, /^Nothing to change: paste@pve!tasks/);
    });

    test("gives the same as what docs/access-control.md says, pasted at the node's prompt", async () => {
      const page = readFileSync(join(ROOT, "docs", "access-control.md"), "utf8");
      const blocks = [...page.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, block = ""]) => block);
      const [all = ""] = blocks.filter((block) => block.includes("pveum user add"));
      const [eight = ""] = blocks.filter((block) => block.includes("VM.Monitor"));
      const role = /^pveum role add HomelabVms [\s\S]*?"\n(?=pveum)/m;
      const lines = (release === 9 ? all : all.replace(role, eight))
        .replaceAll("homelab@pve", "docs@pve")
        .replaceAll("Homelab", "Roledocs");
      const { exit, stderr } = await onNode(lab.sandbox.endpoints, lines);
      assert.deepEqual([exit, stderr], [0, ""]);
      await done("made", "--yes");
      const access = lab.access();
      assert.deepEqual(partOf(access, "docs@pve", "Roledocs"), partOf(access, "made@pve", "Rolemade"));
    });

    test("shows what differs, and corrects it", async () => {
      await done("drift", "--yes");
      const access = lab.access();
      await pveum("role modify RoledriftVms --privs VM.Audit,Sys.Audit");
      await pveum("acl delete /storage/vmdata --tokens 'drift@pve!tasks' --roles RoledriftStorage");
      await pveum("user token modify drift@pve tasks --privsep 0");
      const { stdout, stderr } = await done("drift", "--yes");
      assert.match(
        stderr,
        /RoledriftVms differs: VM\.Allocate, VM\.Clone, .* are missing Sys\.Audit is too much/,
      );
      assert.match(stdout, /^drift@pve!tasks may do what the tasks need\n$/);
      assert.deepEqual(lab.access(), access);
    });

    test("--rotate replaces the token with no moment without a valid one", async () => {
      await done("turn", "--yes");
      const old = lab.saved();
      const poller = poll(lab);
      const { stdout } = await done("turn", "--rotate", "--yes");
      const { asked, refused } = await poller.stop();
      assert.equal(stdout, "turn@pve!tasks-2 has replaced turn@pve!tasks\n");
      assert.deepEqual(refused, []);
      assert.ok(asked > 10, `only ${asked} calls`);
      await assert.rejects(lab.api(old).call("GET", "/version"), /401/);
      assert.equal(lab.saved().PM_API_TOKEN_ID, "turn@pve!tasks-2");
      const { users, acl } = partOf(lab.access(), "turn@pve", "Roleturn") as ReturnType<InitLab["access"]>;
      assert.deepEqual(users[0]?.tokens, { "tasks-2": { privsep: true, comment: "homelab pve-init" } });
      assert.equal(acl.length, 8);
      assert.match((await done("turn", "--yes")).stdout, /^Nothing to change: turn@pve!tasks-2/);
      assert.match((await done("turn", "--rotate", "--yes")).stdout, /^turn@pve!tasks-3 has/);
    });

    test("--remove takes away what it has made, and nothing else", async () => {
      const access = lab.access();
      await done("leave", "--yes");
      const { stderr } = await done("leave", "--remove", "--yes");
      assert.match(stderr, /pveum role delete RoleleaveVms[\s\S]*pveum user delete leave@pve/);
      assert.deepEqual(lab.access(), access);
      assert.deepEqual([lab.saved().PM_API_TOKEN_ID, lab.saved().PM_API_TOKEN_SECRET], ["", ""]);
      assert.match((await done("leave", "--remove", "--yes")).stdout, /^Nothing was removed/);
    });

    // What these prove does not depend on the release.
    if (release === 9) {
      test("finds the API at Proxmox's port where no address is given, and saves it", async (context) => {
        const { port, hostname } = new URL(lab.sandbox.endpoints.apiUrl);
        const forward = createServer((socket) => {
          const node = connect(Number(port), hostname);
          for (const end of [socket, node])
            end.on("error", () => [socket, node].map((each) => each.destroy()));
          socket.pipe(node).pipe(socket);
        });
        const listens = await new Promise<boolean>((resolve) => {
          forward.once("error", () => resolve(false)).listen(8006, "127.0.0.1", () => resolve(true));
        });
        if (!listens) return context.skip("another program listens on port 8006");
        try {
          const names = ["--user", "url@pve", "--role-prefix", "Roleurl", "--yes"];
          const { exitCode, stderr } = await lab.init(names, { env: { PM_API_URL: "" } });
          assert.equal(exitCode, 0, stderr);
          assert.equal(lab.saved().PM_API_URL, "https://127.0.0.1:8006/api2/json");
        } finally {
          forward.close();
        }
      });

      test("makes no token for a node whose certificate is another's", async () => {
        const access = lab.access();
        lab.sandbox.faults.set([{ where: "tls", count: "always", effect: { certificate: "foreign" } }]);
        const { exitCode, stderr } = await init("tls", "--yes").finally(() => lab.sandbox.faults.clear());
        assert.equal(exitCode, 1);
        assert.match(stderr, /The certificate of https:\S+ is not trusted[\s\S]*own CA has not signed/);
        assert.deepEqual(lab.access(), access);
        assert.deepEqual(
          readdirSync(lab.copy.root).filter((name) => /^pve-root-ca-|^\.env/.test(name)),
          [],
        );
      });

      test("changes nothing before it is told to", async () => {
        const access = lab.access();
        const { exitCode, stderr } = await init("asks");
        assert.equal(exitCode, 2);
        assert.match(stderr, /There is no terminal to ask/);
        assert.deepEqual(lab.access(), access);
        assert.equal(existsSync(lab.dotenv), false);
      });

      test("tells of rights that nobody needs, and leaves them unless a person says otherwise", async () => {
        await done("more", "--yes");
        await pveum("acl modify /nodes --users more@pve --roles PVEAuditor");
        const access = lab.access();
        const { stderr } = await done("more", "--yes");
        assert.match(
          stderr,
          /More than these settings need[\s\S]*pveum acl delete \/nodes --roles PVEAuditor --users more@pve/,
        );
        assert.deepEqual(lab.access(), access);
      });

      test("leaves alone what it has not made", async () => {
        await pveum("user add theirs@pve --comment 'of somebody else'");
        await pveum("role add RoleotherVms --privs VM.Audit");
        const access = lab.access();
        for (const flags of [[], ["--rotate"], ["--remove"]]) {
          const { exitCode, stderr } = await init("theirs", "--yes", ...flags);
          assert.equal(exitCode, 2, stderr);
          assert.match(
            stderr,
            /The user theirs@pve is there, and pve-init has not made it|There is no token to replace/,
          );
        }
        const { exitCode, stderr } = await init("other", "--yes");
        assert.equal(exitCode, 2);
        assert.match(
          stderr,
          /The role RoleotherVms is there, and pve-init has not made it[\s\S]*missing: VM\.Allocate/,
        );
        assert.deepEqual(lab.access(), access);
      });

      test("says what to do about a token whose secret is not in .env", async () => {
        await done("gone", "--yes");
        rmSync(lab.dotenv);
        const access = lab.access();
        const { exitCode, stderr } = await init("gone", "--yes");
        assert.equal(exitCode, 2);
        assert.match(stderr, /its secret is not in \.env[\s\S]*--rotate[\s\S]*--token tasks-here/);
        assert.deepEqual(lab.access(), access);
        const { stdout } = await done("gone", "--rotate", "--yes");
        assert.match(stdout, /^gone@pve!tasks-2 has replaced gone@pve!tasks\n$/);
        await lab.api().call("GET", "/version");
      });

      test("does not save to a .env that does not count", async () => {
        const access = lab.access();
        const names = ["--user", "env@pve", "--role-prefix", "Roleenv"];
        const env = { PM_API_TOKEN_ID: "env@pve!tasks" };
        const { exitCode, stderr } = await lab.init([...names, "--yes"], { env });
        assert.equal(exitCode, 2);
        assert.match(stderr, /PM_API_TOKEN_ID is set in the environment[\s\S]*\$ unset PM_API_TOKEN_ID/);
        assert.deepEqual(lab.access(), access);
      });

      test("--remove leaves a role that others have, and a user with somebody's token", async () => {
        await done("used", "--yes");
        await pveum("acl modify /vms --users theirs@pve --roles RoleusedVms");
        const { stderr } = await done("used", "--remove", "--yes");
        assert.match(stderr, /Stays: role RoleusedVms: others have it, too/);
        assert.deepEqual(
          Object.keys(lab.access().roles).filter((role) => role.startsWith("Roleused")),
          ["RoleusedVms"],
        );
        await done("kept", "--yes");
        await pveum("user token add kept@pve laptop");
        const access = lab.access();
        const { exitCode, stderr: why } = await init("kept", "--remove", "--yes");
        assert.equal(exitCode, 2);
        assert.match(
          why,
          /kept@pve!laptop would go with it[\s\S]*\$ pveum user token remove kept@pve laptop/,
        );
        assert.deepEqual(lab.access(), access);
      });

      test("takes back what it has made when a command fails", async () => {
        const access = lab.access();
        lab.sandbox.faults.set([
          {
            where: "command",
            match: "pveum acl modify /storage/local *",
            effect: { exit: 1, stderr: "no quorum!" },
          },
        ]);
        const { exitCode, stderr } = await init("fails", "--yes").finally(() => lab.sandbox.faults.clear());
        assert.equal(exitCode, 1, stderr);
        assert.match(
          stderr,
          /no quorum![\s\S]*Rolled back: token fails@pve!tasks removed[\s\S]*Rolled back: user fails@pve removed/,
        );
        assert.deepEqual(lab.access(), access);
        assert.equal(lab.saved().PM_API_TOKEN_ID, undefined);
      });
    }

    test("shows no secret anywhere", () => {
      assert.ok(secrets.size >= (release === 9 ? 10 : 5), `${secrets.size}`);
      const log = readFileSync(join(lab.sandbox.dir, "sandbox.log"), "utf8");
      const places = [log, lab.arguments(), ...outputs.flatMap(({ stdout, stderr }) => [stdout, stderr])];
      for (const secret of secrets) assert.ok(!places.some((text) => text.includes(secret)));
    });
  });
}

/** Call the API again and again with the token that .env has, and note when it is not taken. */
function poll(lab: InitLab): { stop(): Promise<{ asked: number; refused: string[] }> } {
  const ending = new AbortController();
  let asked = 0;
  const refused: string[] = [];
  const polling = (async () => {
    while (!ending.signal.aborted) {
      const saved = lab.saved();
      try {
        await lab.api(saved).call("GET", "/version");
      } catch (error) {
        // Another one may lie there by now: then the one that was read is not the one that .env has.
        if (lab.saved().PM_API_TOKEN_ID === saved.PM_API_TOKEN_ID) refused.push(String(error));
      }
      asked += 1;
      await sleep(5);
    }
  })();
  return {
    stop: async () => {
      ending.abort();
      await polling;
      return { asked, refused };
    },
  };
}
