import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { runGently } from "../../lib/gentle.ts";
import { runs } from "../support/processes.ts";

const dir = mkdtempSync(join(tmpdir(), "killed-parent-"));
after(() => rmSync(dir, { recursive: true, force: true }));

/** Prints as tofu does, and leaves a file once it has come to its end. */
const CHATTY = `echo $$ > ${dir}/pid; for at in 1 2 3 4 5 6; do echo "line $at"; echo "words $at" >&2; sleep 0.2; done; echo done > ${dir}/end`;

test("a program that must not be killed comes to its end when we are killed, though nobody reads what it prints", async () => {
  const source = new URL("../../lib/gentle.ts", import.meta.url).href;
  const program = `
    const { runGently } = await import("${source}");
    await runGently("sh", ["-c", ${JSON.stringify(CHATTY)}], {
      cwd: "/",
      env: process.env,
      onLine: () => process.kill(process.pid, "SIGKILL"),
    });`;
  assert.throws(
    () => execFileSync(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program]),
    (error: unknown) => (error as { signal?: string }).signal === "SIGKILL",
  );
  const pid = Number(readFileSync(join(dir, "pid"), "utf8"));
  for (const deadline = Date.now() + 60_000; runs(pid) && Date.now() < deadline; ) await sleep(50);
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
