import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { TaskError } from "../../lib/errors.ts";
import { runGently } from "../../lib/gentle.ts";
import { type Sandbox, startSandbox } from "../../lib/sandbox/index.ts";
import { lendFolder, temporaryFolder } from "../../lib/temporary.ts";
import { noteState, untilOrphansEnd } from "../../lib/tofu/orphans.ts";
import { runs } from "../support/processes.ts";

const dir = mkdtempSync(join(tmpdir(), "killed-parent-"));
const children: ChildProcess[] = [];
let sandbox: Sandbox | undefined;
after(async () => {
  for (const child of children) child.kill("SIGKILL");
  await sandbox?.stop();
  rmSync(dir, { recursive: true, force: true });
});

/** Run a module in a process of its own that kills itself; what it printed before. */
function killed(source: string, program: string): string {
  const module = new URL(`../../lib/${source}`, import.meta.url).href;
  const text = `const lib = await import("${module}"); ${program}`;
  try {
    execFileSync(process.execPath, ["--import", "tsx", "--input-type=module", "-e", text]);
  } catch (error) {
    const { signal, stdout } = error as { signal?: string; stdout: Buffer };
    assert.equal(signal, "SIGKILL");
    return stdout.toString();
  }
  throw new Error("it was not killed");
}

async function untilGone(pid: number): Promise<void> {
  for (const deadline = Date.now() + 60_000; runs(pid) && Date.now() < deadline; ) await sleep(50);
  assert.equal(runs(pid), false, `process ${pid} still runs`);
}

/** The private folder of a run that was killed. */
function folderOfKilled(): string {
  return killed(
    "temporary.ts",
    'process.stdout.write(lib.temporaryFolder("homelab-tofu")); process.kill(process.pid, "SIGKILL");',
  );
}

/** Prints as tofu does, and leaves a file once it has come to its end. */
const CHATTY = `echo $$ > ${dir}/pid; for at in 1 2 3 4 5 6; do echo "line $at"; echo "words $at" >&2; sleep 0.2; done; echo done > ${dir}/end`;

test("a program that must not be killed comes to its end when we are killed, though nobody reads what it prints", async () => {
  killed(
    "gentle.ts",
    `await lib.runGently("sh", ["-c", ${JSON.stringify(CHATTY)}], {
      cwd: "/",
      env: process.env,
      onLine: () => process.kill(process.pid, "SIGKILL"),
    });`,
  );
  await untilGone(Number(readFileSync(join(dir, "pid"), "utf8")));
  assert.ok(existsSync(join(dir, "end")), "it was ended by its own output");
});

test("its exit code, its output and its lines arrive, and an interrupt reaches it", async () => {
  const lines: string[] = [];
  const interrupt = new AbortController();
  const result = await runGently(
    "sh",
    ["-c", "trap 'echo over; exit 4' INT; echo up; while :; do sleep 0.05; done"],
    {
      cwd: "/",
      env: process.env,
      signal: interrupt.signal,
      onLine: (line) => {
        lines.push(line);
        interrupt.abort();
      },
    },
  );
  assert.deepEqual(result, { stdout: "up\nover\n", stderr: "", exitCode: 4 });
  assert.deepEqual(lines, ["up", "over"]);
});

test("what a killed run's OpenTofu still works on is waited for; another state is not", async () => {
  const folder = folderOfKilled();
  const child = spawn("sleep", ["600"], { stdio: "ignore" });
  children.push(child);
  noteState(folder, join(dir, "state"), "https://192.0.2.1:8006/api2/json");
  lendFolder(folder, child.pid ?? 0);
  const said: string[] = [];
  const say = (line: string): void => void said.push(line);
  const { signal } = new AbortController();
  await untilOrphansEnd(join(dir, "other"), { signal, say });
  assert.deepEqual(said, []);
  const waiting = untilOrphansEnd(join(dir, "state"), {
    signal,
    say: (line) => {
      say(line);
      child.kill("SIGKILL");
    },
  });
  await waiting;
  assert.deepEqual(said, [
    `OpenTofu of a run that was killed is still at work (process ${child.pid}); waiting until it has written its state`,
  ]);
  temporaryFolder("homelab-test");
  assert.equal(existsSync(folder), false);
});

test("on the sandbox, one that asks a node that has ended is ended, with what it has started; one that asks the node that runs is not", async () => {
  const folder = folderOfKilled();
  const child = spawn("sh", ["-c", "sleep 600 & echo $!; wait"], {
    stdio: ["ignore", "pipe", "ignore"],
    detached: true,
  });
  children.push(child);
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  const grandchild = Number(line.toString());
  noteState(folder, join(dir, "state"), "https://127.0.0.1:1000/api2/json");
  lendFolder(folder, child.pid ?? 0);
  const interrupt = new AbortController();
  const same = {
    signal: interrupt.signal,
    say: () => interrupt.abort(),
    embedded: "https://127.0.0.1:1000/api2/json",
  };
  await assert.rejects(untilOrphansEnd(join(dir, "state"), same));
  assert.ok(runs(grandchild));
  const { signal } = new AbortController();
  await untilOrphansEnd(join(dir, "state"), {
    signal,
    say: () => {},
    embedded: "https://127.0.0.1:2000/api2/json",
  });
  await untilGone(grandchild);
});

test("waiting for it can be interrupted", async () => {
  const interrupt = new AbortController();
  const folder = folderOfKilled();
  const child = spawn("sleep", ["600"], { stdio: "ignore" });
  children.push(child);
  noteState(folder, join(dir, "state"), "https://192.0.2.1:8006/api2/json");
  lendFolder(folder, child.pid ?? 0);
  await assert.rejects(
    untilOrphansEnd(join(dir, "state"), { signal: interrupt.signal, say: () => interrupt.abort() }),
    (error: unknown) => !(error instanceof TaskError),
  );
});

test("a tunnel ends when its task is killed", async () => {
  sandbox = await startSandbox({ dir: join(dir, "sandbox") });
  const { sshHost: host, sshUser: user, sshPort: port, sshConfigFile: configFile } = sandbox.endpoints;
  const said = killed(
    "proxmox/index.ts",
    `const shell = new lib.NodeShell(${JSON.stringify({ host, user, port, configFile })});
    const { proxyUrl } = await lib.openTunnel(shell, new AbortController().signal);
    process.stdout.write(proxyUrl);
    process.kill(process.pid, "SIGKILL");`,
  );
  const listening = Number(/^socks5:\/\/127\.0\.0\.1:(\d+)$/.exec(said)?.[1]);
  const open = async (): Promise<boolean> =>
    await new Promise((resolve) => {
      const socket = connect(listening, "127.0.0.1", () => {
        socket.destroy();
        resolve(true);
      });
      socket.once("error", () => resolve(false));
    });
  for (const deadline = Date.now() + 60_000; (await open()) && Date.now() < deadline; ) await sleep(50);
  assert.equal(await open(), false);
});
