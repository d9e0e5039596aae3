import assert from "node:assert/strict";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { TaskError } from "../../lib/errors.ts";
import { childEnv, run } from "../../lib/process.ts";
import { type Sandbox, startSandbox } from "../../lib/sandbox/index.ts";
import { ROOT, type Step } from "../../lib/task/index.ts";
import { runSteps } from "../../lib/task/run.ts";
import { type ApplyDeps, type ApplyResult, applySteps } from "../../tasks/tf-apply.ts";
import type { EnvironmentRequest } from "../../tasks/tf-init.ts";
import { codeBlocks } from "../support/documents.ts";
import { HttpBackend } from "../support/http-backend.ts";
import { PveApi } from "../support/pve.ts";
import { environmentOn, tofuTools } from "../support/tofu.ts";

/** A remote state as docs/state.md sets it up: with the file that is printed there, on a server on loopback. */

const PASSWORD = "not-in-any-file-5d1c";
const dir = mkdtempSync(join(tmpdir(), "state-backend-"));
const root = join(dir, "repository");
const folder = join(root, "terraform", "envs", "k3s-single");
let backend: HttpBackend;
let sandbox: Sandbox;
let deps: ApplyDeps;

before(async () => {
  const tools = await tofuTools();
  sandbox = await startSandbox({ dir: join(dir, "sandbox") });
  const pve = new PveApi(sandbox.endpoints);
  await pve.createTemplate(9000, "debian-12-v1");
  deps = {
    toolchain: async () => tools,
    trusted: async () => readFileSync(sandbox.endpoints.caFile, "utf8"),
    guests: async () => [],
  };
  backend = await HttpBackend.start("homelab", PASSWORD);
  cpSync(join(ROOT, "terraform"), join(root, "terraform"), {
    recursive: true,
    filter: (path) => !/\.terraform|\.tfstate|\.tfvars$|_override\.tf$/.test(path),
  });
  const [file = ""] = codeBlocks(readFileSync(join(ROOT, "docs/state.md"), "utf8"))
    .filter(({ text }) => text.includes('backend "http"'))
    .map(({ text }) => text);
  writeFileSync(
    join(folder, "backend_override.tf"),
    file.replaceAll(/"https:\/\/[^"]*"/g, `"${backend.address}"`),
  );
  process.env.TF_HTTP_USERNAME = "homelab";
  process.env.TF_HTTP_PASSWORD = PASSWORD;
});

after(async () => {
  await backend?.stop();
  await sandbox?.stop();
  rmSync(dir, { recursive: true, force: true });
});

function request(stateDir?: string): EnvironmentRequest {
  return { ...environmentOn(sandbox, root), ...(stateDir === undefined ? {} : { stateDir }) };
}

async function apply(stateDir?: string): Promise<ApplyResult> {
  const results: ApplyResult[] = [];
  await perform(applySteps({ ...request(stateDir), done: (result) => results.push(result) }, deps));
  return results[0] ?? assert.fail("the outputs were not told");
}

async function perform(steps: readonly Step[]): Promise<void> {
  await runSteps(steps, {
    signal: new AbortController().signal,
    yes: true,
    reporter: { drawsList: false, step: () => {}, output: () => {}, note: () => {} },
  });
}

/** Every file below a folder with its text. */
function files(path: string): [path: string, text: string][] {
  return readdirSync(path, { withFileTypes: true }).flatMap((entry): [string, string][] => {
    const file = join(path, entry.name);
    if (entry.isDirectory()) return files(file);
    return entry.isFile() ? [[file, readFileSync(file, "latin1")]] : [];
  });
}

test("tf-apply keeps the state on the server, under a lock, and finds it there again", async () => {
  const { changed, outputs } = await apply();
  assert.equal(changed, true);
  const state = JSON.parse(backend.state ?? "{}") as { outputs: Record<string, { value: unknown }> };
  assert.equal(state.outputs.vm_id?.value, outputs.vm_id);
  assert.ok(backend.log.indexOf("LOCK 200") < backend.log.indexOf("POST 200"));
  assert.equal(backend.lock, undefined, "the lock is given back");
  assert.equal(existsSync(join(folder, "terraform.tfstate")), false);
  assert.equal((await apply()).changed, false);
});

test("neither the backend's password nor the API token reaches a file or the state", () => {
  const { tokenSecret } = sandbox.endpoints;
  for (const secret of [PASSWORD, tokenSecret]) {
    assert.ok(!backend.state?.includes(secret));
    assert.deepEqual(
      files(join(root, "terraform"))
        .filter(([, text]) => text.includes(secret))
        .map(([path]) => path),
      [],
    );
  }
});

test("a lock that somebody else holds is named with its holder", async () => {
  backend.lock = JSON.stringify({
    ID: "9db590f1-b6fe-c5f2-2678-8804f089deba",
    Operation: "OperationTypeApply",
    Info: "",
    Who: "ann@laptop",
    Version: "1.12.6",
    Created: "2026-01-02T03:04:05Z",
    Path: "",
  });
  await assert.rejects(apply(), (error: unknown) => {
    assert.ok(error instanceof TaskError);
    assert.equal(error.what, "The state is locked: somebody else is planning or changing this environment");
    assert.match(error.why ?? "", /ann@laptop has held it since 2026-01-02/);
    assert.match(error.todo.join("\n"), /force-unlock 9db590f1/);
    return true;
  });
  backend.lock = undefined;
});

test("a wrong password says what the server said", async () => {
  process.env.TF_HTTP_PASSWORD = "wrong";
  try {
    await assert.rejects(
      apply(),
      (error: unknown) => error instanceof TaskError && /auth|401/i.test(error.why ?? ""),
    );
  } finally {
    process.env.TF_HTTP_PASSWORD = PASSWORD;
  }
});

test("the commands of docs/state.md make an encrypted state readable, and another passphrase can take over", async () => {
  const copy = join(dir, "encrypted");
  cpSync(join(ROOT, "terraform"), join(copy, "terraform"), {
    recursive: true,
    filter: (path) => !/\.terraform|\.tfstate|\.tfvars$|_override\.tf$/.test(path),
  });
  const state = join(copy, "terraform/envs/k3s-single/terraform.tfstate");
  const applyWith = async (passphrase: string): Promise<void> => {
    const steps = applySteps({ ...request(), root: copy, passphrase }, deps);
    await perform(steps);
    assert.match(readFileSync(state, "utf8"), /"encrypted_data"/);
  };
  await applyWith("the old passphrase");
  const { pm_api_url, pm_api_token_id, template, ssh_pubkey } = request().variables;
  const values = { pm_api_url, pm_api_token_id, template, ssh_pubkey, started: false };
  writeFileSync(
    join(copy, "terraform/globals.tfvars"),
    Object.entries(values)
      .map(([name, value]) => `${name} = ${JSON.stringify(value)}\n`)
      .join(""),
  );
  const { program, cliConfigFile } = await tofuTools();
  const [script = ""] = codeBlocks(readFileSync(join(ROOT, "docs/state.md"), "utf8"))
    .filter(({ text }) => text.includes("TF_ENCRYPTION"))
    .map(({ text }) => text);
  await run("bash", ["-ec", script], {
    cwd: copy,
    input: "the old passphrase\nyes\n",
    env: childEnv({
      PATH: `${dirname(program)}:${process.env.PATH}`,
      TF_CLI_CONFIG_FILE: cliConfigFile,
      SSL_CERT_FILE: sandbox.endpoints.caFile,
      TF_VAR_pm_api_token_secret: sandbox.endpoints.tokenSecret,
    }),
  });
  assert.match(readFileSync(state, "utf8"), /"outputs"/);
  await applyWith("another passphrase");
  await assert.rejects(applyWith("the old passphrase"));
});

test("a run on the sandbox keeps its own state and never asks the server", async () => {
  const before = backend.log.length;
  const stateDir = join(dir, "own");
  // The VM of the first test has the name: that the guests are not looked at here leaves the provider to make a second one.
  assert.equal((await apply(stateDir)).changed, true);
  assert.ok(existsSync(join(stateDir, "terraform.tfstate")));
  assert.equal(backend.log.length, before);
});
