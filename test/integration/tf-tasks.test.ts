import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { childEnv, run } from "../../lib/process.ts";
import { ROOT } from "../../lib/task/index.ts";

const home = mkdtempSync(join(tmpdir(), "tf-tasks-"));
after(() => rmSync(home, { recursive: true, force: true }));
const key = join(home, "id_ed25519.pub");
writeFileSync(key, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHomelab someone@somewhere\n");

/** Runs a task against a node that nobody answers at. */
async function task(name: string, ...flags: string[]): Promise<{ exitCode: number | null; stderr: string }> {
  return await run(process.execPath, ["--import", "tsx", join("tasks", `${name}.ts`), ...flags], {
    cwd: ROOT,
    env: childEnv({
      HOME: home,
      PM_API_URL: "https://127.0.0.1:1/api2/json",
      PM_API_TOKEN_ID: "homelab@pve!tasks",
      PM_API_TOKEN_SECRET: "12345678-1234-1234-1234-123456789012",
      SSH_PUBLIC_KEY_FILE: key,
    }),
    allow: [0, 1, 2],
  });
}

test("tf-destroy --yes alone is wrong usage: the environment has to be named", async () => {
  const { exitCode, stderr } = await task("tf-destroy", "--yes");
  assert.equal(exitCode, 2);
  assert.match(stderr, /--yes alone does not destroy k3s-single/);
  assert.match(stderr, /\$ npm run tf-destroy -- --env k3s-single --yes/);
});

for (const name of ["tf-init", "tf-plan", "tf-apply", "tf-destroy"]) {
  test(`${name} answers an unknown environment with those there are`, async () => {
    const { exitCode, stderr } = await task(name, "--env", "k3s-nowhere", "--yes");
    assert.equal(exitCode, 2);
    assert.match(stderr, /There is no environment "k3s-nowhere"[\s\S]*terraform\/envs has k3s-single/);
  });
}

test("tf-apply --dry-run shows the commands and does nothing", async () => {
  const { exitCode, stderr } = await task("tf-apply", "--dry-run");
  assert.equal(exitCode, 0);
  assert.match(stderr, /\$ tofu -chdir=terraform\/envs\/k3s-single plan -out=PLAN/);
});
