import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type Sandbox, startSandbox } from "../../lib/sandbox/index.ts";
import { PveApi } from "../support/pve.ts";

const base = mkdtempSync(join(tmpdir(), "homelab-sandbox-"));
const started: Sandbox[] = [];
after(async () => {
  await Promise.all(started.map(async (sandbox) => await sandbox.stop()));
  rmSync(base, { recursive: true, force: true });
});

async function start(name: string): Promise<Sandbox> {
  const sandbox = await startSandbox({ dir: join(base, name) });
  started.push(sandbox);
  return sandbox;
}

function pidOf(dir: string): number {
  return (JSON.parse(readFileSync(join(dir, "sandbox.json"), "utf8")) as { pid: number }).pid;
}

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ");
  } catch {
    return false;
  }
}

async function untilGone(pid: number): Promise<void> {
  for (let tries = 0; runs(pid) && tries < 200; tries += 1) await sleep(50);
  assert.equal(runs(pid), false, `process ${pid} still runs`);
}

/** A process of its own that starts the sandbox and then does what it is told. */
function starter(dir: string, then: string): void {
  const index = new URL("../../lib/sandbox/index.ts", import.meta.url).href;
  const program = `
    const { startSandbox } = await import("${index}");
    const sandbox = await startSandbox({ dir: ${JSON.stringify(dir)} });
    ${then}`;
  try {
    execFileSync(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program], {
      stdio: "ignore",
    });
  } catch {
    // Some of them kill themselves.
  }
}

describe("the sandbox's process", () => {
  test("serves the API with a certificate of its CA, and tells nobody else its secret", async () => {
    const { dir, endpoints } = await start("serve");
    const version = await new PveApi(endpoints).call("GET", "/version");
    assert.equal((version as { release: string }).release, "9.2");
    assert.equal(statSync(join(dir, "sandbox.json")).mode & 0o777, 0o600);
    assert.equal(statSync(dir).mode & 0o777, 0o700);
  });

  test("is one for a directory, whoever starts it and how often", async () => {
    const [first, second] = await Promise.all([start("one"), start("one")]);
    const third = await start("one");
    assert.deepEqual(second.endpoints, first.endpoints);
    assert.equal(third.attached, true);
    assert.equal([first, second].filter(({ attached }) => attached).length, 1);
    await third.stop();
    await new PveApi(first.endpoints).call("GET", "/version");
  });

  test("goes on where it was after being killed: VMs that ran run again", async () => {
    const before = await start("killed");
    const api = new PveApi(before.endpoints);
    await api.createVm(100, "runs");
    await api.createVm(101, "is-off");
    await api.task("POST", "/nodes/pve/qemu/100/status/start");
    const pid = pidOf(before.dir);
    process.kill(pid, "SIGKILL");
    await untilGone(pid);
    const { endpoints, attached } = await start("killed");
    assert.equal(attached, false);
    const vms = await new PveApi(endpoints).vms();
    assert.deepEqual(
      vms.map(({ vmid, name, status }) => [vmid, name, status]),
      [
        [100, "runs", "running"],
        [101, "is-off", "stopped"],
      ],
    );
    assert.equal(endpoints.tokenSecret, before.endpoints.tokenSecret);
    assert.equal(readFileSync(endpoints.caFile, "utf8"), readFileSync(before.endpoints.caFile, "utf8"));
  });

  test("ends with the process that started it, even if that is killed", async () => {
    const dir = join(base, "orphan");
    starter(
      dir,
      `const { readFileSync, writeFileSync } = await import("node:fs");
       writeFileSync(${JSON.stringify(`${dir}.pid`)}, String(JSON.parse(readFileSync(${JSON.stringify(
         join(dir, "sandbox.json"),
       )}, "utf8")).pid));
       process.kill(process.pid, "SIGKILL");`,
    );
    await untilGone(Number(readFileSync(`${dir}.pid`, "utf8")));
  });

  test("stays when it is to be kept", async () => {
    const dir = join(base, "kept");
    starter(dir, "await sandbox.keep();");
    const pid = pidOf(dir);
    try {
      const { attached, endpoints } = await start("kept");
      assert.equal(attached, true);
      await new PveApi(endpoints).call("GET", "/version");
    } finally {
      process.kill(pid, "SIGTERM");
      await untilGone(pid);
    }
    assert.throws(() => statSync(join(dir, "sandbox.json")), /ENOENT/);
  });
});
