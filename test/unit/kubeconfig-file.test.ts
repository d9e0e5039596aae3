import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { TaskError } from "../../lib/errors.ts";
import { readKubeconfig, updateKubeconfig } from "../../lib/k8s/kubeconfig-file.ts";

let dir: string;
const { signal } = new AbortController();

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "kubeconfig-file-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const mode = (file: string): number => statSync(file).mode & 0o777;

test("a new file is for its owner alone, as is its folder", async () => {
  const file = join(dir, ".kube", "config");
  assert.equal(await updateKubeconfig(file, () => "new", signal), undefined);
  assert.equal(readFileSync(file, "utf8"), "new");
  assert.equal(mode(file), 0o600);
  assert.equal(mode(join(dir, ".kube")), 0o700);
  assert.deepEqual(readdirSync(join(dir, ".kube")), ["config"]);
});

test("the file as it was is kept beside it, for its owner alone", async () => {
  const file = join(dir, "config");
  writeFileSync(file, "old", { mode: 0o644 });
  const backup = await updateKubeconfig(file, (before) => `${before} and new`, signal);
  assert.ok(backup);
  assert.equal(readFileSync(backup, "utf8"), "old");
  assert.equal(mode(backup), 0o600);
  assert.equal(readFileSync(file, "utf8"), "old and new");
  assert.equal(mode(file), 0o600);
});

test("without a change nothing is written and nothing is kept", async () => {
  const file = join(dir, "config");
  writeFileSync(file, "same", { mode: 0o600 });
  const { mtimeMs } = statSync(file);
  for (const change of [() => "same", () => undefined]) {
    assert.equal(await updateKubeconfig(file, change, signal), undefined);
  }
  assert.equal(statSync(file).mtimeMs, mtimeMs);
  assert.deepEqual(readdirSync(dir), ["config"]);
});

test("a link stays a link", async () => {
  const target = join(dir, "real");
  const link = join(dir, "config");
  writeFileSync(target, "old");
  symlinkSync(target, link);
  await updateKubeconfig(link, () => "new", signal);
  assert.equal(readFileSync(target, "utf8"), "new");
  assert.notEqual(
    readdirSync(dir, { withFileTypes: true })
      .find(({ name }) => name === "config")
      ?.isFile(),
    true,
  );
});

test("a change that fails leaves the file and no lock", async () => {
  const file = join(dir, "config");
  writeFileSync(file, "old");
  await assert.rejects(
    updateKubeconfig(
      file,
      () => {
        throw new Error("no");
      },
      signal,
    ),
    /no/,
  );
  assert.equal(readFileSync(file, "utf8"), "old");
  assert.deepEqual(readdirSync(dir), ["config"]);
});

test("it waits for the lock that kubectl takes", async () => {
  const file = join(dir, "config");
  writeFileSync(`${file}.lock`, "");
  setTimeout(() => rmSync(`${file}.lock`), 250);
  await updateKubeconfig(file, () => "new", signal);
  assert.equal(readFileSync(file, "utf8"), "new");
  assert.equal(existsSync(`${file}.lock`), false);
});

test("a lock that stays is named, and left alone", async () => {
  const file = join(dir, "config");
  writeFileSync(`${file}.lock`, "");
  await assert.rejects(
    updateKubeconfig(file, () => "new", signal),
    (error: unknown) => {
      assert.ok(error instanceof TaskError);
      assert.match(error.what, /being changed by another program/);
      assert.ok(error.todo.includes(`$ rm ${file}.lock`));
      return true;
    },
  );
  assert.equal(existsSync(`${file}.lock`), true);
  assert.equal(existsSync(file), false);
});

test("a missing file is none, an unreadable one is an error that names it", async () => {
  assert.equal(await readKubeconfig(join(dir, "config")), undefined);
  await assert.rejects(readKubeconfig(dir), (error: unknown) => {
    assert.ok(error instanceof TaskError);
    assert.match(error.what, new RegExp(dir));
    return true;
  });
});

/** Begin to change a kubeconfig in a process that is killed while it does. */
function killedWhileChanging(file: string): void {
  const source = new URL("../../lib/k8s/kubeconfig-file.ts", import.meta.url).href;
  const program = `
    const { updateKubeconfig } = await import("${source}");
    const { writeFileSync } = await import("node:fs");
    const file = ${JSON.stringify(file)};
    await updateKubeconfig(file, () => {
      writeFileSync(file + "." + process.pid + ".new", "half of it");
      process.kill(process.pid, "SIGKILL");
    }, new AbortController().signal);`;
  assert.throws(
    () => execFileSync(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program]),
    (error: unknown) => (error as { signal?: string }).signal === "SIGKILL",
  );
}

test("what a killed run has left, its lock and its draft, is in nobody's way and goes", async () => {
  const file = join(dir, "config");
  writeFileSync(file, "old", { mode: 0o600 });
  writeFileSync(`${file}.1.new`, "of a process that runs");
  killedWhileChanging(file);
  assert.ok(existsSync(`${file}.lock`), "it was killed under the lock");
  assert.equal(readdirSync(dir).filter((name) => name.endsWith(".new")).length, 2);
  const backup = await updateKubeconfig(file, () => "new", signal);
  assert.ok(backup);
  assert.equal(readFileSync(file, "utf8"), "new");
  assert.deepEqual(
    readdirSync(dir).filter((name) => !name.includes("backup")),
    ["config", "config.1.new"],
  );
});

test("a lock that a living process holds is not taken over", async () => {
  const file = join(dir, "config");
  let refused: unknown;
  await updateKubeconfig(
    file,
    () => {
      assert.match(readFileSync(`${file}.lock`, "utf8"), /^homelab run [0-9a-f]{8} by /);
      return "new";
    },
    signal,
  );
  writeFileSync(`${file}.lock`, "");
  await updateKubeconfig(file, () => "newer", signal).catch((error: unknown) => {
    refused = error;
  });
  assert.ok(refused instanceof TaskError, "kubectl's own is empty");
  assert.equal(readFileSync(file, "utf8"), "new");
});
