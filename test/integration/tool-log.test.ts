import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type Sandbox, startSandbox } from "../../lib/sandbox/index.ts";
import { eventsOf, WorkingCopy } from "../support/working-copy.ts";

/** TOOL_LOG and --verbose with the real tofu and provider, on the sandbox. */

const copy = new WorkingCopy();
const logs = join(copy.root, ".homelab", "logs");
let sandbox: Sandbox;
before(async () => {
  sandbox = await startSandbox({ dir: join(copy.root, ".homelab", "sandbox") });
});
after(async () => {
  await sandbox?.stop();
  copy.remove();
});

describe("TOOL_LOG=trace", () => {
  test("keeps what tofu and the provider say to the node, without the token, and tells where", async () => {
    const { exitCode, stderr } = await copy.task("tf-plan", ["--sandbox"], { TOOL_LOG: "trace" });
    assert.equal(exitCode, 1, "there is no template");
    const [, name = ""] = /^• What the tool logs: \.homelab\/logs\/(\S+)$/m.exec(stderr) ?? [];
    assert.deepEqual(readdirSync(logs), [name]);
    assert.equal(statSync(join(logs, name)).mode & 0o777, 0o600);
    const text = readFileSync(join(logs, name), "utf8");
    for (const said of [
      /\[TRACE\]/,
      /tofu plan -json/,
      /\/api2\/json\/nodes\/pve\/qemu/,
      /^# \S+ tofu ended: 1$/m,
    ])
      assert.match(text, said);
    const { tokenSecret } = sandbox.endpoints;
    assert.ok(!text.includes(tokenSecret), "the token's secret is not in it");
    assert.match(
      stderr,
      /There is no template|shows no template at all/,
      "the error is told as without a log",
    );
    assert.doesNotMatch(stderr, /\[TRACE\]/);
  });

  test("tells machines where", async () => {
    const events = eventsOf(await copy.task("tf-plan", ["--sandbox", "--json"], { TOOL_LOG: "debug" }));
    const note = events.find(({ event }) => event === "note");
    assert.match(String(note?.text), /^What the tool logs: \.homelab\/logs\/\S+-tofu-\d+\.log$/);
  });
});

test("without it there is no log", async () => {
  const count = readdirSync(logs).length;
  await copy.task("tf-plan", ["--sandbox"]);
  assert.equal(readdirSync(logs).length, count);
});

test("--verbose shows the command lines, and no secret in them", async () => {
  const { stderr } = await copy.task("tf-plan", ["--sandbox", "--verbose"]);
  assert.match(stderr, /^• \$ \S+\/tofu init -json -input=false -upgrade .* # in \S+\/k3s-single$/m);
  assert.match(stderr, /^• \$ \S+\/tofu plan -json /m);
  assert.ok(!stderr.includes(sandbox.endpoints.tokenSecret));
});
