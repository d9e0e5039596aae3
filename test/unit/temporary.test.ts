import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, test } from "node:test";
import { lendFolder, neededFolders, temporaryFolder } from "../../lib/temporary.ts";

const before = process.env.TMPDIR;
const dir = mkdtempSync(join(tmpdir(), "temporary-"));
process.env.TMPDIR = dir;
const children: ChildProcess[] = [];
after(() => {
  for (const child of children) child.kill("SIGKILL");
  if (before === undefined) delete process.env.TMPDIR;
  else process.env.TMPDIR = before;
  rmSync(dir, { recursive: true, force: true });
});

/** A folder that a process makes which is killed then. */
function leftFolder(kind: string): string {
  const source = new URL("../../lib/temporary.ts", import.meta.url).href;
  const program = `
    const { temporaryFolder } = await import("${source}");
    process.stdout.write(temporaryFolder("${kind}"));
    process.kill(process.pid, "SIGKILL");`;
  try {
    execFileSync(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program]);
    throw new Error("it was not killed");
  } catch (error) {
    const { signal, stdout } = error as { signal?: string; stdout: Buffer };
    assert.equal(signal, "SIGKILL");
    return stdout.toString();
  }
}

test("a folder is for its owner alone, and there is one for each call", () => {
  const [one, other] = [temporaryFolder("homelab-test"), temporaryFolder("homelab-test")];
  assert.notEqual(one, other);
  assert.equal(statSync(one).mode & 0o777, 0o700);
  assert.ok(existsSync(one), "that of a living process stays");
});

test("what a killed process has left goes with the next folder, whatever it is for; nothing else goes", () => {
  const left = leftFolder("homelab-secrets");
  const others = [
    "homelab-secrets",
    "homelab-copy-a1B2c3",
    `x${basename(left)}`,
    `${basename(left)}.txt`,
  ].map((name) => join(dir, name));
  for (const path of others) mkdirSync(path);
  writeFileSync(join(left, "secret"), "");
  temporaryFolder("hl-test");
  assert.equal(existsSync(left), false);
  for (const path of others) assert.ok(existsSync(path), path);
});

test("what something still needs stays until that has ended", async () => {
  const left = leftFolder("homelab-tofu");
  const child = spawn("sleep", ["600"], { stdio: "ignore" });
  children.push(child);
  lendFolder(left, child.pid ?? 0);
  temporaryFolder("homelab-test");
  assert.deepEqual(neededFolders(), [{ path: left, pids: [child.pid] }]);
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
  assert.deepEqual(neededFolders(), []);
  temporaryFolder("homelab-test");
  assert.ok(!readdirSync(dir).includes(basename(left)));
});
