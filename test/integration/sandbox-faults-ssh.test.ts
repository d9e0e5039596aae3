import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import type { RunResult } from "../../lib/process.ts";
import {
  type FaultRule,
  networkDelay,
  readFaults,
  type Sandbox,
  startSandbox,
} from "../../lib/sandbox/index.ts";
import { PveApi } from "../support/pve.ts";
import { execute, type Finished, onNode, sshOptions } from "../support/ssh.ts";
import { WorkingCopy } from "../support/working-copy.ts";

const MIB = 1024 ** 2;
const base = mkdtempSync(join(tmpdir(), "homelab-faults-ssh-"));
let sandbox: Sandbox;
let api: PveApi;

before(async () => {
  sandbox = await startSandbox({ dir: join(base, "sandbox") });
  api = new PveApi(sandbox.endpoints);
});
afterEach(() => sandbox.faults.clear());
after(async () => {
  await sandbox?.stop();
  rmSync(base, { recursive: true, force: true });
});

async function run(line: string, input?: string | Buffer): Promise<Finished> {
  return await onNode(sandbox.endpoints, line, input);
}

/** How long an action takes, in milliseconds. */
async function timed(action: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await action();
  return performance.now() - start;
}

describe("the node's SSH side", () => {
  const complaint = async (rule: FaultRule["effect"], line = "true"): Promise<string> => {
    sandbox.faults.set([{ where: "ssh", effect: rule } as FaultRule]);
    const { exit, stderr } = await run(line);
    assert.equal(exit, 255);
    assert.equal((await run("echo again")).stdout, "again\n");
    return stderr;
  };

  test("refuses one connection, has another key for one, or knows nobody", async () => {
    assert.match(await complaint({ refuse: true }), /reset|closed/i);
    assert.match(await complaint({ hostKey: "foreign" }), /Host key verification failed/);
    assert.match(await complaint({ auth: "refused" }), /Permission denied \(publickey\)/);
  });

  test("drops a connection in the middle of an upload; what has come stays", async () => {
    sandbox.faults.set([{ where: "ssh", effect: { drop: MIB } }]);
    const content = Buffer.alloc(8 * MIB, "x");
    const { exit } = await run("cat > /var/tmp/part", content);
    assert.equal(exit, 255);
    const size = Number((await run("stat -c %s /var/tmp/part")).stdout);
    assert.ok(size > 0 && size < 2 * MIB, `${size} bytes came`);
    await run("rm /var/tmp/part");
  });

  test("takes longer by the network's delay, each round trip", async () => {
    sandbox.faults.set(networkDelay(150));
    // Versions, keys, log-in and command: at least five round trips.
    assert.ok((await timed(async () => await run("true"))) >= 5 * 150);
  });

  test("is slow", async () => {
    sandbox.faults.set([{ where: "ssh", effect: { rate: MIB } }]);
    const took = await timed(async () => await run("cat > /var/tmp/slow", Buffer.alloc(MIB, "x")));
    assert.ok(took >= 1000, `${took} ms`);
    assert.equal((await run("stat -c %s /var/tmp/slow; rm /var/tmp/slow")).stdout, `${MIB}\n`);
  });

  test("has no room for a file, whichever way it comes", async () => {
    const rule: FaultRule = { where: "files", match: "/var/tmp/*", count: "always", effect: { full: 1000 } };
    sandbox.faults.set([rule]);
    const content = Buffer.alloc(5000, "x");
    const cat = await run("cat > /var/tmp/full", content);
    assert.deepEqual([cat.exit, cat.stderr], [1, "cat: write error: No space left on device\n"]);
    const local = join(base, "local");
    writeFileSync(local, content);
    const { sshUser, sshHost } = sandbox.endpoints;
    const target = `${sshUser}@${sshHost}:/var/tmp/copied`;
    for (const protocol of ["-s", "-O"]) {
      const { exit } = await execute("scp", [...sshOptions(sandbox.endpoints), protocol, local, target]);
      assert.notEqual(exit, 0);
      assert.equal((await run("stat -c %s /var/tmp/copied; rm -f /var/tmp/copied")).stdout, "1000\n");
    }
    assert.equal((await run("stat -c %s /var/tmp/full; rm /var/tmp/full")).stdout, "1000\n");
  });
});

describe("a command on the node", () => {
  test("fails before or after its work, lies, or takes longer", async () => {
    sandbox.faults.set([
      { where: "command", match: "qm create 140*", effect: { exit: 255, stderr: "no quorum\n" } },
      { where: "command", match: "qm create 141*", effect: { exit: 25, when: "after" } },
      { where: "command", match: "df *", effect: { exit: 0, stdout: "Avail\n12\n" } },
      { where: "command", match: "hostname", effect: { delay: 300 } },
    ]);
    assert.deepEqual(await run("qm create 140"), { exit: 255, stdout: "", stderr: "no quorum\n" });
    assert.equal((await run("qm create 141")).exit, 25);
    assert.match((await run("qm list")).stdout, /^ +141 /m);
    assert.doesNotMatch((await run("qm list")).stdout, /^ +140 /m);
    assert.equal((await run("df -B1 /var/tmp")).stdout, "Avail\n12\n");
    assert.ok((await timed(async () => await run("hostname"))) >= 300);
    await run("qm destroy 141");
  });

  test("hangs until its client goes away", async () => {
    sandbox.faults.set([{ where: "command", match: "qm importdisk *", effect: { hang: true } }]);
    const { sshUser, sshHost } = sandbox.endpoints;
    const line = "qm importdisk 100 /x vmdata";
    const args = [...sshOptions(sandbox.endpoints), `${sshUser}@${sshHost}`, "--", line];
    const { exit } = await execute("ssh", args, {
      started: async (child) => {
        while (sandbox.faults.struck().length === 0) await run("true");
        child.kill("SIGKILL");
      },
    });
    assert.equal(exit, null);
    assert.deepEqual(sandbox.faults.struck(), [{ rule: 0, where: "command", what: line }]);
  });
});

describe("rules", () => {
  test("that are wrong are refused as a whole, with the reason", () => {
    const wrong = [
      { where: "api", effect: { delay: 1 } },
      { where: "task", effect: { status: 500 } },
    ] as never;
    assert.throws(() => sandbox.faults.set(wrong), /^Error: rule 2: effect/);
    assert.deepEqual(sandbox.faults.struck(), []);
  });

  test("come from a file, also for a sandbox that runs already", async () => {
    const file = join(base, "faults.yaml");
    writeFileSync(file, "- where: api\n  match: GET /version\n  count: always\n  effect: { status: 500 }\n");
    const second = await startSandbox({ dir: sandbox.dir, faults: await readFaults(file) });
    assert.equal(second.attached, true);
    await assert.rejects(api.call("GET", "/version"), /500 made to fail/);
    second.faults.set(await readFaults("none"));
    await api.call("GET", "/version");
    await assert.rejects(readFaults(join(base, "missing")), { name: "UsageError" });
  });

  test("reach the tasks through the sandbox's own command", async () => {
    const copy = new WorkingCopy();
    const node = await startSandbox({ dir: join(copy.root, ".homelab", "sandbox") });
    try {
      const file = join(base, "rules.yaml");
      writeFileSync(
        file,
        "- { where: api, match: GET *, count: always, effect: { status: 500, message: no quorum } }\n",
      );
      const images = async (): Promise<RunResult> => await copy.task("images", ["--sandbox"]);
      assert.equal((await images()).exitCode, 0);
      assert.equal((await copy.task("sandbox", ["--faults", file])).exitCode, 0);
      const { exitCode, stderr } = await images();
      assert.deepEqual([exitCode, /no quorum/.test(stderr)], [1, true], stderr);
      writeFileSync(file, "- { where: nowhere }\n");
      const wrong = await copy.task("sandbox", ["--faults", file]);
      assert.deepEqual([wrong.exitCode, /rule 1: where: /.test(wrong.stderr)], [2, true], wrong.stderr);
      assert.equal((await images()).exitCode, 1, "wrong rules change nothing");
      assert.equal((await copy.task("sandbox", ["--faults", "none"])).exitCode, 0);
      assert.equal((await images()).exitCode, 0);
      const help = await copy.task("sandbox", ["--help"]);
      assert.match(help.stdout, /--faults FILE .*docs\/sandbox-faults\.md/);
    } finally {
      await node.stop();
      copy.remove();
    }
  });
});
