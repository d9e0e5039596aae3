import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { childEnv, run } from "../../lib/process.ts";
import { ROOT } from "../../lib/task/index.ts";
import { systemProgram } from "../support/programs.ts";

/** The provisioning scripts: bats runs them with stand-ins (test/scripts), shellcheck reads them. */

const base = mkdtempSync(join(tmpdir(), "homelab-scripts-"));
after(() => rmSync(base, { recursive: true, force: true }));

const BATS = join(ROOT, "node_modules", "bats", "bin", "bats");
const SCRIPTS = join(ROOT, "packer", "alma9-k3s-optimized", "scripts");
const TESTS = join(ROOT, "test", "scripts");
const files = readdirSync(TESTS).filter((name) => name.endsWith(".bats"));
const scripts = readdirSync(SCRIPTS).filter((name) => name.endsWith(".sh"));

interface Outcome {
  readonly title: string;
  readonly passed: boolean;
  /** What bats says of a test that failed. */
  readonly words: string;
}

/** Run a file of tests. */
async function bats(file: string, env: Readonly<Record<string, string>> = {}): Promise<Outcome[]> {
  const { stdout, stderr } = await run(BATS, ["--formatter", "tap", join(TESTS, file)], {
    env: childEnv(env),
    allow: [0, 1],
  });
  const outcomes = stdout
    .split(/^(?=(?:not )?ok \d+ )/m)
    .slice(1)
    .map((text) => {
      const [, not, title = ""] = /^(not )?ok \d+ (.*)/.exec(text) ?? [];
      return { title, passed: not === undefined, words: text };
    });
  const [, planned] = /^1\.\.(\d+)$/m.exec(stdout) ?? [];
  assert.equal(outcomes.length, Number(planned), `${stdout}${stderr}`);
  return outcomes;
}

test("there is a file of bats tests for every script", () => {
  assert.deepEqual(
    files.map((file) => file.replace(".bats", "")).sort(),
    scripts.map((script) => script.replace(".sh", "")).sort(),
  );
});

for (const file of files) {
  test(file, async (t) => {
    for (const { title, passed, words } of await bats(file)) {
      await t.test(title, () => assert.ok(passed, words));
    }
  });
}

test("the scripts need nothing of find, sort, sed and awk that busybox lacks", async (t) => {
  const busybox = systemProgram("busybox");
  const bash = systemProgram("bash");
  if (busybox === undefined || bash === undefined) {
    t.skip("busybox is missing: apt install busybox-static");
    return;
  }
  const tools = join(base, "busybox");
  mkdirSync(tools);
  symlinkSync(bash, join(tools, "bash"));
  // Busybox has a shell of its own under this name in some builds.
  for (const applet of (await run(busybox, ["--list"])).stdout.trim().split("\n")) {
    if (applet !== "bash") symlinkSync(busybox, join(tools, applet));
  }
  for (const file of files) {
    for (const { title, passed, words } of await bats(file, { HOMELAB_TEST_TOOLS: tools })) {
      assert.ok(passed, `${title}\n${words}`);
    }
  }
});

describe("shellcheck", () => {
  const shellcheck = systemProgram("shellcheck");
  const skip = shellcheck === undefined && "shellcheck is missing: apt install shellcheck";

  test("finds nothing in the provisioning scripts at its strictest", { skip }, async () => {
    const paths = scripts.map((name) => join(SCRIPTS, name));
    await run(shellcheck ?? "", ["--enable=all", "--external-sources", "--severity=style", ...paths]);
  });

  test("finds nothing in their tests and in .ci/run", { skip }, async () => {
    const paths = [...files, "support.bash"].map((name) => join(TESTS, name));
    await run(shellcheck ?? "", ["--external-sources", ...paths, join(ROOT, ".ci", "run")]);
  });
});

test("every script stops at the first error and begins with its name as a step", async () => {
  for (const name of scripts.filter((each) => each !== "lib.sh")) {
    const { stdout } = await run("bash", ["-n", join(SCRIPTS, name)]);
    assert.equal(stdout, "");
    const text = (await run("cat", [join(SCRIPTS, name)])).stdout;
    assert.match(text, /^#!\/usr\/bin\/env bash\n/);
    assert.match(text, /^set -euo pipefail$/m);
    assert.match(text, new RegExp(`^begin ${name.replace(".sh", "")}( |$)`, "m"));
  }
});
