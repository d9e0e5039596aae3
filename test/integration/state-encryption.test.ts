import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { UsageError } from "../../lib/errors.ts";
import { run } from "../../lib/process.ts";
import { type Sandbox, startSandbox } from "../../lib/sandbox/index.ts";
import { ROOT } from "../../lib/task/index.ts";
import { runSteps } from "../../lib/task/run.ts";
import { encryptionConfig, stateProtection } from "../../lib/tofu/encryption.ts";
import { type ApplyDeps, type ApplyResult, applySteps } from "../../tasks/tf-apply.ts";
import type { EnvironmentRequest } from "../../tasks/tf-init.ts";
import { PveApi } from "../support/pve.ts";
import { refused } from "../support/refused.ts";
import { environmentOn, tofuTools } from "../support/tofu.ts";

/** OpenTofu's own encryption of the state, with the real OpenTofu and provider on the embedded node. */

// What a shell, HCL or a careless quote would make something else of.
// biome-ignore lint/suspicious/noTemplateCurlyInString: HCL's templates, which it must not be taken for
const PASSPHRASE = 'correct "horse" ${battery} %{staple} \\ é';
const dir = mkdtempSync(join(tmpdir(), "state-encryption-"));
const root = join(dir, "repository");
const folder = join(root, "terraform", "envs", "k3s-single");
const state = join(folder, "terraform.tfstate");
let sandbox: Sandbox;
let deps: ApplyDeps;

before(async () => {
  const tools = await tofuTools();
  sandbox = await startSandbox({ dir: join(dir, "sandbox") });
  await new PveApi(sandbox.endpoints).createTemplate(9000, "debian-12-v1");
  deps = {
    toolchain: async () => tools,
    trusted: async () => readFileSync(sandbox.endpoints.caFile, "utf8"),
    guests: async () => [],
  };
  cpSync(join(ROOT, "terraform"), join(root, "terraform"), {
    recursive: true,
    filter: (path) => !/\.terraform|\.tfstate|\.tfvars$|_override\.tf$/.test(path),
  });
});

after(async () => {
  await sandbox?.stop();
  rmSync(dir, { recursive: true, force: true });
});

function request(passphrase?: string): EnvironmentRequest {
  return { ...environmentOn(sandbox, root), ...(passphrase === undefined ? {} : { passphrase }) };
}

async function apply(passphrase?: string): Promise<ApplyResult & { readonly notes: readonly string[] }> {
  const results: ApplyResult[] = [];
  const notes: string[] = [];
  const steps = applySteps({ ...request(passphrase), done: (result) => results.push(result) }, deps);
  await runSteps(steps, {
    signal: new AbortController().signal,
    yes: true,
    reporter: {
      drawsList: false,
      step: () => {},
      output: () => {},
      note: (line) => void notes.push(line),
    },
  });
  return { ...(results[0] ?? assert.fail("the outputs were not told")), notes };
}

/** Every file below the repository, with its text. */
function texts(path = root): string[] {
  return readdirSync(path, { withFileTypes: true }).flatMap((entry) => {
    const file = join(path, entry.name);
    if (entry.isDirectory()) return entry.name === "providers" ? [] : texts(file);
    return entry.isFile() ? [readFileSync(file, "utf8")] : [];
  });
}

test("a readable state is encrypted by the next apply, though nothing else changes, and is found again", async () => {
  const { outputs } = await apply();
  assert.equal(await stateProtection(folder), "readable");
  assert.match(readFileSync(state, "utf8"), /"vm_id"/);

  const encrypted = await apply(PASSPHRASE);
  assert.equal(encrypted.changed, false);
  assert.match(encrypted.notes.join("\n"), /The state is encrypted from now on\. Copies from before/);
  assert.equal(await stateProtection(folder), "encrypted");
  assert.doesNotMatch(readFileSync(state, "utf8"), /vm_id|k3s-s1|10\.23\.45/);

  const again = await apply(PASSPHRASE);
  assert.deepEqual([again.changed, again.outputs], [false, outputs]);
  assert.doesNotMatch(again.notes.join("\n"), /from now on/);
  assert.ok(texts().every((text) => !text.includes("battery")));
});

test("without the passphrase it is refused before anything is asked or changed, and so is another one", async () => {
  const before = readFileSync(state);
  const missing = await refused(apply());
  assert.ok(missing instanceof UsageError);
  assert.equal(missing.what, "TF_STATE_PASSPHRASE is missing");
  assert.match(missing.why ?? "", /encrypted, and without its passphrase nobody can read it/);
  const wrong = await refused(apply("another horse battery"));
  assert.equal(wrong.what, "TF_STATE_PASSPHRASE is not the passphrase of this state");
  assert.deepEqual(wrong.left, ["Nothing was changed"]);
  assert.deepEqual(readFileSync(state), before);
});

test("the first state is encrypted from the beginning where there is a passphrase", async () => {
  rmSync(state);
  rmSync(`${state}.backup`, { force: true });
  assert.equal(await stateProtection(folder), "none yet");
  await apply(PASSPHRASE);
  assert.equal(await stateProtection(folder), "encrypted");
});

test("any passphrase means itself in HCL", async () => {
  // OpenTofu evaluates a local of the same literal: what it is, not what it looks like.
  const { program } = await tofuTools();
  const passphrases = fc.sample(
    fc.oneof(
      fc.string({ minLength: 16, unit: "grapheme" }),
      fc.stringMatching(/^[${}%"\\'`\n\t ]{16,40}$/),
      fc.string({ minLength: 16, unit: "binary" }),
    ),
    200,
  );
  const literals = passphrases.map(
    (each) => /passphrase = (".*")$/m.exec(encryptionConfig(each))?.[1] ?? assert.fail("no literal"),
  );
  const work = mkdtempSync(join(dir, "literals-"));
  writeFileSync(
    join(work, "main.tf"),
    `output "all" {\n  value = [\n${literals.map((each) => `    ${each},`).join("\n")}\n  ]\n}\n`,
  );
  const env = { PATH: process.env.PATH, HOME: dir };
  await run(program, ["apply", "-auto-approve", "-input=false"], { cwd: work, env });
  const { stdout } = await run(program, ["output", "-json", "all"], { cwd: work, env });
  // OpenTofu normalises text to NFC, in every literal and so in every passphrase alike.
  assert.deepEqual(
    JSON.parse(stdout),
    passphrases.map((each) => each.normalize("NFC")),
  );
});
