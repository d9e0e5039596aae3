import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { UsageError } from "../../lib/errors.ts";
import { tofuEnv } from "../../lib/tofu/child-environment.ts";
import { environmentDirectory, listEnvironments, varFiles } from "../../lib/tofu/index.ts";
import { Scratch } from "../../lib/tofu/scratch.ts";
import { trustBundle } from "../../lib/trust.ts";

const dir = mkdtempSync(join(tmpdir(), "tofu-environment-"));
after(() => rmSync(dir, { recursive: true, force: true }));

const HOSTILE = {
  TF_CLI_CONFIG_FILE: "/does/not/exist",
  TF_CLI_ARGS: "-nonsense",
  TF_CLI_ARGS_plan: "-nonsense",
  TF_DATA_DIR: "/does/not/exist",
  TF_WORKSPACE: "elsewhere",
  TF_REATTACH_PROVIDERS: "nonsense",
  TF_PLUGIN_CACHE_DIR: "/does/not/exist",
  TF_VAR_ip: "nonsense",
  TF_ENCRYPTION: "nonsense",
  TOFU_ENFORCE_GPG_VALIDATION: "true",
  PROXMOX_VE_ENDPOINT: "https://elsewhere",
  PROXMOX_VE_INSECURE: "true",
  PM_API_TOKEN_SECRET: "00000000-0000-0000-0000-000000000000",
};

test("nothing that steers tofu or its provider is inherited", (t) => {
  const before = { ...process.env };
  t.after(() => {
    for (const name of Object.keys(HOSTILE)) delete process.env[name];
    Object.assign(process.env, before);
  });
  Object.assign(process.env, HOSTILE);
  const env = tofuEnv({ cliConfigFile: "/mirror/tofurc", secrets: { pm_api_token_secret: "s3cret" } });
  const steering = Object.entries(env).filter(([name]) => /^(TF_|TOFU_|PROXMOX_|PM_)/.test(name));
  assert.deepEqual(Object.fromEntries(steering), {
    TF_CLI_CONFIG_FILE: "/mirror/tofurc",
    TF_IN_AUTOMATION: "1",
    TF_INPUT: "0",
    TF_WORKSPACE: "default",
    TF_VAR_pm_api_token_secret: "s3cret",
  });
  assert.equal(env.PATH, process.env.PATH);
  assert.equal(process.env.TF_VAR_pm_api_token_secret, undefined, "ours is not changed");
});

test("the data folder and the trusted certificates are ours when they are given", () => {
  const env = tofuEnv({ cliConfigFile: "c", dataDir: "/state/.terraform", trustFile: "/tmp/trusted.pem" });
  assert.equal(env.TF_DATA_DIR, "/state/.terraform");
  assert.equal(env.SSL_CERT_FILE, "/tmp/trusted.pem");
});

test("a node's certificate is added to the authorities that are trusted anyway", async () => {
  const system = join(dir, "system.pem");
  writeFileSync(system, "SYSTEM\n");
  assert.equal(await trustBundle("NODE\n\n", system), "SYSTEM\nNODE\n");
});

test("an SSL_CERT_FILE that does not exist is passed over", async () => {
  const bundle = await trustBundle("NODE", join(dir, "missing.pem"));
  assert.match(bundle, /BEGIN CERTIFICATE[\s\S]*NODE\n$/);
});

test("what is written for tofu can be read by nobody else, and goes when it is closed", async () => {
  const scratch = Scratch.open();
  const file = await scratch.write("settings.tfvars.json", '{"a":1}');
  assert.equal(statSync(scratch.path).mode & 0o777, 0o700);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.equal(readFileSync(file, "utf8"), '{"a":1}');
  scratch.remove();
  assert.equal(existsSync(scratch.path), false);
});

test("an unknown environment is answered with those there are", async () => {
  for (const name of ["k3s-single", "k3s-lab"]) {
    mkdirSync(join(dir, "terraform", "envs", name), { recursive: true });
    writeFileSync(join(dir, "terraform", "envs", name, "main.tf"), "");
  }
  mkdirSync(join(dir, "terraform", "envs", "empty"));
  assert.deepEqual(await listEnvironments(dir), ["k3s-lab", "k3s-single"]);
  assert.equal(await environmentDirectory(dir, "k3s-lab"), join(dir, "terraform", "envs", "k3s-lab"));
  await assert.rejects(
    environmentDirectory(dir, "../envs/k3s-lab"),
    (error) =>
      error instanceof UsageError &&
      error.what === 'There is no environment "../envs/k3s-lab"' &&
      error.why === "terraform/envs has k3s-lab, k3s-single",
  );
});

test("globals.tfvars is handed over when it is there, and the environment's own values after it", () => {
  const own = join(dir, "terraform", "envs", "k3s-single", "terraform.tfvars");
  const shared = join(dir, "terraform", "globals.tfvars");
  assert.deepEqual(varFiles(dir, "k3s-single"), []);
  writeFileSync(own, "");
  assert.deepEqual(varFiles(dir, "k3s-single"), [own]);
  writeFileSync(shared, "");
  assert.deepEqual(varFiles(dir, "k3s-single"), [shared, own]);
  assert.deepEqual(varFiles(dir, "k3s-lab"), [shared]);
});
