import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, describe, test } from "node:test";
import { SETTING_NAMES, type SettingName } from "../../lib/config/index.ts";
import { UsageError } from "../../lib/errors.ts";
import type { Sandbox } from "../../lib/sandbox/index.ts";
import type { CommandShape } from "../../lib/task/command.ts";
import { execute } from "../../lib/task/execute.ts";
import { parseFlags } from "../../lib/task/flags.ts";
import { defineCommand } from "../../lib/task/index.ts";
import { sandboxLines, sourcesFor } from "../../lib/task/sandbox-settings.ts";

const base = mkdtempSync(join(tmpdir(), "homelab-execute-"));
const usual = { ...process.env };
after(() => {
  Object.assign(process.env, usual);
  rmSync(base, { recursive: true, force: true });
});

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(base, "t-"));
  mkdirSync(join(root, "terraform"));
  for (const name of SETTING_NAMES) delete process.env[name];
});

/** What a command that needs and uses some settings is given. */
async function settingsOf(
  argv: readonly string[],
  { requires = [], uses = [] }: Pick<CommandShape, "requires" | "uses">,
): Promise<Partial<Record<SettingName, unknown>>> {
  let settings: Partial<Record<SettingName, unknown>> = {};
  const command = defineCommand<Record<never, never>, SettingName, SettingName>({
    name: "try-out",
    summary: "Try it",
    requires,
    uses,
    run: async (context) => {
      settings = context.settings;
    },
  });
  await runIn(command, argv);
  return settings;
}

/** @returns what it printed on stdout */
async function runIn(
  command: Parameters<typeof execute<Record<never, never>, SettingName, SettingName>>[0],
  argv: readonly string[],
): Promise<string[]> {
  const printed: string[] = [];
  const { flags, args } = parseFlags(argv, {}, [], "npx tsx tasks/try-out.ts");
  const { signal } = new AbortController();
  await execute(command, { flags, args, root, signal, print: (line) => printed.push(line) });
  return printed;
}

test("a flag beats the environment, that .env, that the environment's tfvars, that globals.tfvars, that the default", async () => {
  const look = async (...argv: string[]): Promise<unknown[]> => {
    const { ENV, PM_STORAGE } = await settingsOf(argv, { uses: ["ENV", "PM_STORAGE"] });
    return [ENV, PM_STORAGE];
  };
  assert.deepEqual(await look(), ["k3s-single", "vmdata"]);
  writeFileSync(join(root, "terraform", "globals.tfvars"), 'storage = "from-globals"\n');
  assert.deepEqual(await look(), ["k3s-single", "from-globals"]);
  mkdirSync(join(root, "terraform", "envs", "k3s-single"), { recursive: true });
  writeFileSync(join(root, "terraform", "envs", "k3s-single", "terraform.tfvars"), 'storage = "from-own"\n');
  assert.deepEqual(await look(), ["k3s-single", "from-own"]);
  assert.deepEqual(await look("--env", "another"), ["another", "from-globals"]);
  writeFileSync(join(root, ".env"), "ENV=from-dotenv\nPM_STORAGE=from-dotenv\n", { mode: 0o600 });
  assert.deepEqual(await look(), ["from-dotenv", "from-dotenv"]);
  Object.assign(process.env, { ENV: "from-environment", PM_STORAGE: "from-environment" });
  assert.deepEqual(await look(), ["from-environment", "from-environment"]);
  assert.deepEqual(await look("--env", "from-flag"), ["from-flag", "from-environment"]);
});

test("a missing setting is exit code 2: its name, what it is, where to get it and an example", async () => {
  await assert.rejects(settingsOf([], { requires: ["PM_API_TOKEN_ID"] }), (error: unknown) => {
    assert(error instanceof UsageError);
    assert.equal(error.exitCode, 2);
    assert.equal(error.what, "PM_API_TOKEN_ID is missing");
    assert.equal(error.why, "PM_API_TOKEN_ID: API token's id");
    assert.deepEqual(error.todo.slice(0, 2), [
      "Set it in .env: PM_API_TOKEN_ID=homelab@pve!tasks",
      "Where to get it: Datacenter → Permissions → API Tokens in the web interface; npm run pve-init makes one",
    ]);
    return true;
  });
});

test("a malformed flag is named as the command line's", async () => {
  await assert.rejects(settingsOf(["--env", "../elsewhere"], { uses: ["ENV"] }), (error: unknown) => {
    assert(error instanceof UsageError);
    assert.match(error.message, /ENV is not valid.*taken from the command line/);
    assert.equal(error.todo[0], "Give another one: --env k3s-single");
    return true;
  });
});

const command = defineCommand<Record<never, never>, SettingName, SettingName>({
  name: "try-out",
  summary: "Try it",
  run: async ({ result, steps }) => {
    await steps([{ title: "Make it", run: async () => {} }]);
    result("made");
  },
});

test("--dry-run makes no difference to a command that changes nothing", async () => {
  assert.deepEqual(await runIn({ ...command, readOnly: true }, ["--dry-run"]), ["made"]);
  assert.deepEqual(await runIn(command, ["--dry-run"]), []);
});

describe("what is set for a real node, on the sandbox", () => {
  const outside = [
    { name: "the environment", values: { PM_API_URL: "https://real:8006", PM_NODE: " ", ENV: "mine" } },
    { name: ".env", values: { PM_STORAGE: "fast", K3S_VERSION: "v1.30.0+k3s1" } },
    { name: "terraform/globals.tfvars", values: {} },
  ];
  const sandbox = { dir: "/s", endpoints: { apiUrl: "https://127.0.0.1:1/api2/json" } } as Sandbox;

  test("does not count, whatever it is, and nothing else is lost", () => {
    const sources = sourcesFor({ ENV: undefined }, outside, sandbox);
    assert.deepEqual(
      sources.map(({ name }) => name),
      ["the command line", "the sandbox", "the environment", ".env", "terraform/globals.tfvars"],
    );
    assert.deepEqual(
      sources.slice(2).map(({ values }) => ({ ...values })),
      [{ ENV: "mine" }, { K3S_VERSION: "v1.30.0+k3s1" }, {}],
    );
    assert.deepEqual(sourcesFor({}, outside, undefined).slice(1), outside);
  });

  test("is said in the one line about the sandbox, by name with --verbose", () => {
    const line =
      "Sandbox: an embedded, simulated Proxmox node at https://127.0.0.1:1/api2/json; no real node is touched";
    assert.deepEqual(sandboxLines(sandbox, outside, false), [
      `${line} (PM_* of the environment and .env do not count)`,
    ]);
    assert.deepEqual(sandboxLines(sandbox, outside, true).slice(1), [
      "  Left aside from the environment: PM_API_URL",
      "  Left aside from .env: PM_STORAGE",
    ]);
    assert.deepEqual(sandboxLines(sandbox, [{ name: ".env", values: { ENV: "x" } }], true), [line]);
  });
});
