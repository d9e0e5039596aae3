import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { chmod, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import {
  loadSettings,
  readSources,
  renderEnvExample,
  SETTING_NAMES,
  type Source,
  specOf,
} from "../../lib/config/index.ts";
import { parseTfvars } from "../../lib/config/tfvars.ts";
import { UsageError } from "../../lib/errors.ts";

const source = (values: Record<string, string>, name = "the test"): Source => ({ name, values });

test(".env.example is what the schema renders", () => {
  const committed = readFileSync(new URL("../../.env.example", import.meta.url), "utf8");
  assert.equal(committed, renderEnvExample(), "run: npm run fix");
});

test("every setting's example and default are valid", () => {
  const files = new Set(["PM_TLS_CA", "PM_SSH_CONFIG", "SSH_PUBLIC_KEY_FILE"]);
  for (const name of SETTING_NAMES) {
    const { example, fallback, parse } = specOf(name);
    if (fallback !== undefined) assert.doesNotThrow(() => parse(fallback), name);
    if (!files.has(name)) assert.doesNotThrow(() => parse(example), name);
  }
});

test("a stronger source beats a weaker one, an empty value is no value", async () => {
  const settings = await loadSettings(
    ["PM_NODE", "PM_STORAGE"],
    ["PM_BRIDGE"],
    [source({ PM_NODE: "one", PM_STORAGE: "" }), source({ PM_NODE: "two", PM_STORAGE: "fast" })],
  );
  assert.deepEqual({ ...settings }, { PM_NODE: "one", PM_STORAGE: "fast", PM_BRIDGE: "vmbr0" });
});

test("a missing setting is an error that says what it is, where to get it and gives an example", async () => {
  await assert.rejects(loadSettings(["PM_API_TOKEN_SECRET"], [], []), (error: unknown) => {
    assert(error instanceof UsageError);
    assert.equal(error.exitCode, 2);
    assert.match(error.what, /PM_API_TOKEN_SECRET is missing/);
    assert.match(error.why ?? "", /API token's secret/);
    assert.match(error.todo.join("\n"), /PM_API_TOKEN_SECRET=00000000-/);
    assert.match(error.todo.join("\n"), /shown once/);
    return true;
  });
});

test("all problems are reported at once", async () => {
  const bad = source({ PM_SSH_PORT: "many", PM_NODE: "-oProxyCommand=x" });
  await assert.rejects(
    loadSettings(["PM_API_URL", "PM_SSH_PORT", "PM_NODE"], [], [bad]),
    (error: unknown) => {
      assert(error instanceof UsageError);
      for (const name of ["PM_API_URL is missing", "PM_SSH_PORT is not valid", "PM_NODE is not valid"]) {
        assert.match(error.why ?? "", new RegExp(name));
      }
      assert.match(error.why ?? "", /taken from the test/);
      return true;
    },
  );
});

test("a malformed secret is not repeated in the error", async () => {
  const secret = "not-a-uuid-but-very-secret";
  await assert.rejects(
    loadSettings(["PM_API_TOKEN_SECRET"], [], [source({ PM_API_TOKEN_SECRET: secret })]),
    (error: unknown) =>
      error instanceof UsageError &&
      !JSON.stringify(error).includes(secret) &&
      !error.message.includes(secret),
  );
});

for (const [name, value, reason] of [
  ["PM_API_URL", "http://10.23.45.10:8006/api2/json", /https/],
  ["PM_API_URL", "https://root:pw@10.23.45.10:8006/", /credentials/],
  ["PM_API_URL", "https://10.23.45.10:8006/somewhere", /\/api2\/json/],
  ["PM_API_URL", "10.23.45.10", /not a URL/],
  ["PM_API_TOKEN_ID", "root@pam", /USER@REALM!TOKENID/],
  ["PM_TLS_FINGERPRINT", "AB:CD", /32 hexadecimal pairs/],
  ["PM_TLS_CA", "/nowhere/ca.pem", /no file/],
  ["PM_TLS_INSECURE", "perhaps", /true or false/],
  ["PM_SSH_HOST", "-oProxyCommand=reboot", /host name/],
  ["PM_SSH_HOST", "a b", /host name/],
  ["PM_SSH_USER", "root; reboot", /user name/],
  ["PM_SSH_PORT", "65536", /65535/],
  ["PM_STORAGE", "vm data", /storage/],
  ["PM_BRIDGE", "vmbr0,tag=1", /bridge/],
  ["ENV", "../../etc", /lower-case/],
  ["CLUSTER_ACCESS", "sideways", /direct or jump/],
  ["ARCH", "riscv64", /amd64 or arm64/],
  ["K3S_VERSION", "1.28", /k3s version/],
  ["IMAGE_RELEASE", "1", /v1, v2/],
  ["IMAGE_VERSION", "alma9", /image name/],
  ["GIT_REPO_URL", "https://x/$(reboot) y", /Git repository/],
  ["GIT_REPO_URL", "--upload-pack=reboot", /Git repository/],
  ["GIT_REVISION", "-x", /branch/],
  ["TF_STATE_PASSPHRASE", "short", /16/],
] as const) {
  test(`${name} refuses ${value}`, async () => {
    await assert.rejects(loadSettings([name], [], [source({ [name]: value })]), (error: unknown) => {
      assert(error instanceof UsageError);
      assert.match(error.what, new RegExp(`^${name} is not valid`));
      assert.match(error.what, reason);
      return true;
    });
  });
}

test("the API's address is completed, whatever its ending", async () => {
  for (const text of ["https://pve:8006", "https://pve:8006/", "https://pve:8006/api2/json/"]) {
    const { PM_API_URL } = await loadSettings(["PM_API_URL"], [], [source({ PM_API_URL: text })]);
    assert.equal(PM_API_URL.href, "https://pve:8006/api2/json");
  }
});

test("a fingerprint is read in any form and kept in one", async () => {
  const raw = "0a".repeat(32);
  const { PM_TLS_FINGERPRINT } = await loadSettings(
    ["PM_TLS_FINGERPRINT"],
    [],
    [source({ PM_TLS_FINGERPRINT: raw })],
  );
  assert.equal(PM_TLS_FINGERPRINT, Array.from({ length: 32 }, () => "0A").join(":"));
});

test("parseTfvars reads plain assignments", () => {
  const text =
    '# comment\nnode = "pve" # behind\n  storage="fast-\\"1\\""\nports = 3\non = true\nlist = ["a"]\n';
  assert.deepEqual(parseTfvars(text), { node: "pve", storage: 'fast-"1"', ports: "3", on: "true" });
});

test("readSources: the environment beats .env beats globals.tfvars; a secret in globals.tfvars is refused", async () => {
  const root = await mkdtemp(join(tmpdir(), "homelab-settings-"));
  const { mkdir } = await import("node:fs/promises");
  await mkdir(join(root, "terraform"));
  await writeFile(join(root, ".env"), "PM_STORAGE=from-dotenv\n", { mode: 0o644 });
  await chmod(join(root, ".env"), 0o644);
  await writeFile(join(root, "terraform", "globals.tfvars"), 'storage = "from-globals"\nbridge = "vmbr7"\n');
  const notices: string[] = [];
  const sources = await readSources(root, (line) => notices.push(line));
  const settings = await loadSettings(["PM_STORAGE", "PM_BRIDGE"], [], sources.slice(1));
  assert.deepEqual({ ...settings }, { PM_STORAGE: "from-dotenv", PM_BRIDGE: "vmbr7" });
  assert.match(notices.join(), /chmod 600/);

  await writeFile(join(root, "terraform", "globals.tfvars"), 'pm_api_token_secret = "x"\n');
  await assert.rejects(readSources(root), /does not belong/);
});
