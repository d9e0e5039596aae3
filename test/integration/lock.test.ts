import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { TaskError } from "../../lib/errors.ts";
import { tryLock } from "../../lib/lock.ts";
import { processIdentity } from "../../lib/process-identity.ts";
import { formatMark, parseMark, runMark } from "../../lib/run-mark.ts";

const base = mkdtempSync(join(tmpdir(), "homelab-lock-"));
const children: ChildProcess[] = [];
after(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(base, { recursive: true, force: true });
});

/** A process of its own that runs a piece of code with `tryLock` and `file` at hand. */
function inProcess(file: string, code: string): ChildProcess {
  const program = `
    import { appendFileSync } from "node:fs";
    import { tryLock } from ${JSON.stringify(new URL("../../lib/lock.ts", import.meta.url).href)};
    const file = ${JSON.stringify(file)};
    ${code}`;
  const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  return child;
}

async function ended(child: ChildProcess): Promise<void> {
  await new Promise((resolve) => child.once("exit", resolve));
}

async function said(child: ChildProcess): Promise<string> {
  return await new Promise((resolve) => child.stdout?.once("data", (data: Buffer) => resolve(String(data))));
}

test("a lock is held by one, and free once it is released", () => {
  const file = join(base, "plain", "it.lock");
  const first = tryLock(file);
  assert.ok(first.held);
  const second = tryLock(file);
  assert.deepEqual(second, { held: false, holder: process.pid, run: formatMark(runMark()) });
  first.release();
  const third = tryLock(file);
  assert.ok(third.held);
  third.release();
  assert.deepEqual(readdirSync(join(base, "plain")), ["it.lock"]);
});

test("releasing twice does not free somebody else's lock", () => {
  const file = join(base, "twice.lock");
  const first = tryLock(file);
  assert.ok(first.held);
  first.release();
  const second = tryLock(file);
  assert.ok(second.held);
  first.release();
  assert.equal(tryLock(file).held, false);
});

test("a lock file that holds nonsense is taken over", () => {
  const file = join(base, "nonsense.lock");
  writeFileSync(file, "");
  assert.equal(tryLock(file).held, true);
});

test("one that cannot be read is refused, and not looked at for ever", () => {
  // As root there is no file that cannot be read; a folder cannot be, whoever looks.
  const file = join(base, "unreadable");
  mkdirSync(file);
  assert.throws(
    () => tryLock(file),
    (error: unknown) => {
      assert.ok(error instanceof TaskError);
      assert.equal(error.what, `The lock ${file} cannot be used`);
      assert.match(error.why ?? "", /EISDIR/);
      assert.ok(error.todo.includes(`$ ls -la ${base}`));
      return true;
    },
  );
  assert.deepEqual(
    readdirSync(base).filter((name) => name.startsWith("unreadable.")),
    [],
    "it leaves nothing there",
  );
});

test("the lock of a living process is respected, that of a killed one taken over", async () => {
  const folder = join(base, "killed");
  const file = join(folder, "it.lock");
  const holder = inProcess(file, "tryLock(file); console.log('ready'); setInterval(() => {}, 1000);");
  await said(holder);
  const { run, ...refused } = tryLock(file) as { held: false; holder: number; run: string };
  assert.deepEqual(refused, { held: false, holder: holder.pid });
  assert.notEqual(parseMark(run)?.id, runMark().id);
  holder.kill("SIGKILL");
  await ended(holder);
  const mine = tryLock(file);
  assert.ok(mine.held);
  mine.release();
  assert.deepEqual(readdirSync(folder), ["it.lock"], "what the killed process left is swept up");
});

test("a later process that got the pid of a dead holder is not taken for it", () => {
  const file = join(base, "reused.lock");
  const mine = tryLock(file);
  assert.ok(mine.held);
  const text = readFileSync(file, "utf8");
  writeFileSync(file, text.replace(`${processIdentity(process.pid)}`, "start 1"));
  assert.equal(tryLock(file).held, true);
});

test("processes that race fifty times for a dead process's lock never hold it together", async () => {
  const folder = join(base, "race");
  mkdirSync(folder);
  const rounds = Array.from({ length: 50 }, (_each, round) => join(folder, `${round}.lock`));
  for (const file of rounds) writeFileSync(file, "4194999 start 1\n");
  const racers = Array.from({ length: 4 }, () =>
    inProcess(
      folder,
      `for (let round = 0; round < ${rounds.length}; round += 1) {
         for (let times = 0; times < 3; ) {
           const lock = tryLock(\`\${file}/\${round}.lock\`);
           if (!lock.held) continue;
           appendFileSync(\`\${file}/\${round}.log\`, "(");
           for (const until = performance.now() + 0.2 * Math.random(); performance.now() < until; );
           appendFileSync(\`\${file}/\${round}.log\`, ")");
           lock.release();
           times += 1;
         }
       }`,
    ),
  );
  await Promise.all(racers.map(ended));
  for (const file of rounds) {
    assert.equal(readFileSync(file.replace(".lock", ".log"), "utf8"), "()".repeat(12));
    const lock = tryLock(file);
    assert.ok(lock.held);
    lock.release();
  }
  assert.equal(readdirSync(folder).length, 2 * rounds.length, "nothing else is left");
});

test("a run's mark is read back, and nothing else is taken for one", () => {
  const mark = runMark();
  assert.deepEqual(parseMark(`Being uploaded (0123): ${formatMark(mark)}\n`), mark);
  for (const text of ["", "homelab run", "run 1f2e3d4c by ann@laptop since today", "made by homelab"]) {
    assert.equal(parseMark(text), undefined, text);
  }
});
