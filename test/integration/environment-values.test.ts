import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createSparseQcow2 } from "../../lib/proxmox/index.ts";
import { type Sandbox, startSandbox } from "../../lib/sandbox/index.ts";
import { Tofu } from "../../lib/tofu/index.ts";
import { tofuTools } from "../support/tofu.ts";
import { WorkingCopy } from "../support/working-copy.ts";

/** terraform.tfvars of an environment, as the example shows it, through the tasks and the real tofu. */

const copy = new WorkingCopy();
const environment = join(copy.root, "terraform", "envs", "k3s-single");
const own = join(environment, "terraform.tfvars");
const shared = join(copy.root, "terraform", "globals.tfvars");
const example = readFileSync(`${own}.example`, "utf8");
/** With all that is only shown in it. */
const shown = example.replace(/^# ([a-z_]+ *= )/gm, "$1");
/** And with what has to be filled in. */
const all = shown
  .replace("CHANGEME@pve!CHANGEME", "homelab@pve!tasks")
  .replace(
    '"CHANGEME"',
    '"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGm5cYkN0hTQf5OmZ3eYrQ3VbW4b0m8Xy1n2J9s7uKpL me"',
  );

let sandbox: Sandbox;
before(async () => {
  sandbox = await startSandbox({ dir: join(copy.root, ".homelab", "sandbox") });
  const image = join(copy.home, "image.qcow2");
  await createSparseQcow2(image, 2 * 1024 ** 3);
  // The template that the example names.
  const { exitCode, stderr } = await copy.task("upload-image", [
    image,
    "alma9-k3-node-amd64-v1.28.5-v1",
    "--sandbox",
  ]);
  assert.equal(exitCode, 0, stderr);
});
after(async () => {
  await sandbox?.stop();
  copy.remove();
});

/** What the VM would become. */
async function planned(): Promise<string> {
  const { exitCode, stdout, stderr } = await copy.task("tf-plan", ["--sandbox"]);
  assert.equal(exitCode, 0, stderr);
  return stdout;
}

test("the example is taken as it is, and with everything that it shows", async () => {
  assert.doesNotMatch(all.replace(/#.*/g, ""), /CHANGEME/);
  for (const text of [example, all]) {
    writeFileSync(own, text);
    const tofu = await Tofu.open({
      ...(await tofuTools()),
      directory: environment,
      stateDir: join(copy.home, "state"),
    });
    try {
      await tofu.init();
      await tofu.validate();
    } finally {
      tofu.close();
    }
  }
  writeFileSync(own, all);
  assert.match(await planned(), /k3s-s1/);
});

test("its values reach the plan, beat globals.tfvars, and are beaten by settings", async () => {
  writeFileSync(shared, 'name = "k3s-shared"\nip = "10.23.45.77/24"\ncores = 3\n');
  writeFileSync(own, all.replace('"k3s-s1"', '"k3s-own"').replace(/^cores .*$/m, ""));
  const plan = await planned();
  assert.match(plan, /k3s-own/);
  assert.match(plan, /10\.23\.45\.31\/24/);
  assert.match(plan, /3 cores/, "what it does not set is shared");
  // The template is a setting too, which it gives: the sandbox has this one alone.
  writeFileSync(own, all.replace("v1.28.5-v1", "v9.9.9-v1"));
  const { exitCode, stderr } = await copy.task("tf-plan", ["--sandbox"]);
  assert.equal(exitCode, 1);
  assert.match(stderr, /There is no template "alma9-k3-node-amd64-v9\.9\.9-v1"/);
  const set = { IMAGE_VERSION: "alma9-k3-node-amd64-v1.28.5-v1" };
  assert.equal((await copy.task("tf-plan", ["--sandbox"], set)).exitCode, 0);
});

test("what is not filled in is named", async () => {
  writeFileSync(own, shown);
  const { exitCode, stderr } = await copy.task("tf-plan", ["--sandbox"]);
  assert.equal(exitCode, 2);
  assert.match(stderr, /2 values are not filled in yet[\s\S]*terraform\.tfvars/);
});

test("a secret in it is refused before anything is started", async () => {
  writeFileSync(own, 'pm_api_token_secret = "00000000-0000-0000-0000-000000000000"\n');
  const { exitCode, stderr } = await copy.task("tf-plan", ["--sandbox"]);
  assert.equal(exitCode, 2);
  assert.match(
    stderr,
    /pm_api_token_secret does not belong in .*terraform\.tfvars[\s\S]*Move it to \.env as PM_API_TOKEN_SECRET=…/,
  );
});
