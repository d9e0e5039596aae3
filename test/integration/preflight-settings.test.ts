import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { byName, resultOf } from "../support/preflight-result.ts";
import { type WorkingCopy, workingCopies } from "../support/working-copy.ts";

/** Settings of which something is broken that would keep preflight from looking at all. */

const copyOfTree = workingCopies();

describe("settings that cannot be read", () => {
  const settings = async (copy: WorkingCopy, env: Record<string, string> = {}) => {
    const ended = await copy.task("preflight", ["--json", "--only", "settings,dotenv,tools,node"], env);
    const result = resultOf(ended);
    return { exitCode: ended.exitCode, result, ...byName(result, "settings") };
  };

  test("are a finding, and the other checks are made", async () => {
    const copy = copyOfTree();
    mkdirSync(join(copy.root, ".env"));
    writeFileSync(join(copy.root, "terraform/globals.tfvars"), 'pm_api_token_secret = "very-secret"\n');
    const { exitCode, result, state, findings } = await settings(copy, { TOOL_LOG: "loud" });
    assert.deepEqual([exitCode, state], [1, "failed"]);
    const failed = findings.filter((finding) => finding.state === "failed");
    assert.deepEqual(
      failed.map(({ evidence }) => evidence.replaceAll(copy.root, "").split("\n")[0]),
      [
        "/.env cannot be read",
        "pm_api_token_secret does not belong in /terraform/globals.tfvars",
        failed[2]?.evidence.split("\n")[0],
      ],
    );
    assert.match(failed[2]?.evidence ?? "", /^TOOL_LOG is not valid/);
    assert.ok(failed.every(({ fix }) => fix.length > 0));
    assert.doesNotMatch(JSON.stringify(result), /very-secret/);
    assert.equal(byName(result, "tools").state, "passed");
    assert.equal(byName(result, "dotenv").state, "skipped");
  });

  test("and so are an environment that there is not, and a file of values that is none", async () => {
    const copy = copyOfTree();
    writeFileSync(join(copy.root, "terraform/globals.tfvars"), 'a = 1\nstorage = "vmdata\n');
    const { exitCode, findings } = await settings(copy, { ENV: "nosuch" });
    assert.equal(exitCode, 1);
    const failed = findings.filter((finding) => finding.state === "failed");
    assert.deepEqual(
      failed.map(({ evidence }) => evidence.split("\n")[0]),
      ["terraform/globals.tfvars:2  a quote is not closed", 'There is no environment "nosuch"'],
    );
  });
});

test("every check is counted once, in words too", async () => {
  const { stdout, stderr } = await copyOfTree().task("preflight", ["--only", "settings,dotenv,tools"]);
  assert.equal(stdout, "1 check passed, 1 with warnings, 1 skipped\n");
  assert.match(stderr, /^▸ Check 3 things side by side$/m);
});
