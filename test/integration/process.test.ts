import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { CommandError, childEnv, run } from "../../lib/process.ts";
import { registerSecret } from "../../lib/secrets.ts";

test("arguments reach the child intact, whatever they contain", async () => {
  const word = fc.string({ unit: "grapheme", maxLength: 30 }).map((text) => text.replaceAll("\0", ""));
  await fc.assert(
    fc.asyncProperty(fc.array(word, { maxLength: 4 }), async (words) => {
      const { stdout } = await run(process.execPath, [
        "-e",
        "console.log(JSON.stringify(process.argv.slice(1)))",
        "--",
        ...words,
      ]);
      assert.deepEqual(JSON.parse(stdout), words);
    }),
    { numRuns: 25 },
  );
});

test("input is written to the child, lines are handed on as they come", async () => {
  const lines: string[] = [];
  const result = await run("sh", ["-c", "cat; echo oops >&2; exit 3"], {
    input: "one\ntwo",
    allow: [0, 3],
    onLine: (line, stream) => lines.push(`${stream}: ${line}`),
  });
  assert.deepEqual(result, { stdout: "one\ntwo", stderr: "oops\n", exitCode: 3 });
  assert.deepEqual(lines.sort(), ["stderr: oops", "stdout: one", "stdout: two"]);
});

test("letters of several bytes arrive whole, wherever a long output is cut", async () => {
  const text = `a${"✖é😀".repeat(60_000)}`;
  const { stdout, stderr } = await run("sh", ["-c", "cat; printf %s ✖ >&2"], { input: text });
  assert.ok(stdout === text, "the output differs");
  assert.equal(stderr, "✖");
});

test("an exit code nobody allowed is an error in the tool's own words, without secrets", async () => {
  registerSecret("s3cret-s3cret");
  await assert.rejects(run("sh", ["-c", "echo token s3cret-s3cret is bad >&2; exit 4"]), (error: unknown) => {
    assert(error instanceof CommandError);
    assert.equal(error.exitCode, 4);
    assert.equal(error.message, "token *** is bad");
    return true;
  });
});

test("an aborted signal ends the child and what it started", async () => {
  const interrupt = new AbortController();
  let pid = "";
  await assert.rejects(
    run("sh", ["-c", "sleep 60 & echo $!; wait"], {
      signal: interrupt.signal,
      onLine: (line) => {
        pid = line;
        interrupt.abort();
      },
    }),
  );
  await gone(Number(pid));
});

test("a child that ignores SIGTERM is killed when its grace is over", async () => {
  const interrupt = new AbortController();
  const started = performance.now();
  await assert.rejects(
    run("sh", ["-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"], {
      signal: interrupt.signal,
      graceMs: 200,
      onLine: () => interrupt.abort(),
    }),
  );
  assert(performance.now() - started < 5000);
});

/** Waits until no process has that id; whoever adopts an orphan may take a moment to reap it. */
async function gone(pid: number): Promise<void> {
  for (const deadline = Date.now() + 10_000; Date.now() < deadline; ) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail(`process ${pid} is still there`);
}

test("childEnv leaves out what would steer our tools, and our secrets", () => {
  const hostile = {
    TF_CLI_ARGS: "-no",
    TF_VAR_node: "x",
    PKR_VAR_a: "1",
    PACKER_LOG: "1",
    KUBECONFIG: "/x",
    PM_API_TOKEN_SECRET: "y",
  };
  Object.assign(process.env, hostile);
  try {
    const env = childEnv({ TF_IN_AUTOMATION: "1", PATH: undefined });
    for (const name of Object.keys(hostile)) assert.equal(env[name], undefined, name);
    assert.equal(env.TF_IN_AUTOMATION, "1");
    assert.equal(env.PATH, undefined);
    assert.equal(env.HOME, process.env.HOME);
  } finally {
    for (const name of Object.keys(hostile)) delete process.env[name];
  }
});

test("a child's shell reads none of the person's start-up files, even where nothing counts shells", async () => {
  const home = mkdtempSync(join(tmpdir(), "process-home-"));
  try {
    writeFileSync(join(home, ".bashrc"), "echo from bashrc\n");
    writeFileSync(join(home, "env"), "echo from BASH_ENV\n");
    const { SHLVL: _, ...env } = childEnv({ HOME: home });
    const inherited = { ...process.env };
    process.env.BASH_ENV = join(home, "env");
    try {
      assert.equal((await run("true", [], { env })).stdout, "");
      assert.equal((await run("true", [], { env: childEnv({ HOME: home }) })).stdout, "");
    } finally {
      process.env = inherited;
    }
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
});
