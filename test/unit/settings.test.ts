import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { rootCertificates } from "node:tls";
import fc from "fast-check";
import {
  loadSettings,
  readSources,
  renderEnvExample,
  SETTING_NAMES,
  type SettingName,
  type Source,
  specOf,
} from "../../lib/config/index.ts";
import { meantSetting } from "../../lib/config/misspelt.ts";
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

test("what this run demands is missing with all the others, and optional otherwise", async () => {
  const load = async (...demanded: "PM_SSH_HOST"[]): Promise<unknown> =>
    await loadSettings(["PM_API_URL"], ["PM_SSH_HOST"], [], demanded);
  await assert.rejects(load(), /^UsageError: PM_API_URL is missing/);
  await assert.rejects(load("PM_SSH_HOST"), /PM_API_URL is missing[\s\S]*PM_SSH_HOST is missing/);
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

test("what a setting is stands behind its name, and reads well for every one", async () => {
  for (const name of SETTING_NAMES) {
    const { about, fallback } = specOf(name);
    assert.match(about, /^\S.*[^\s.]$/, `${name}: a clause without a full stop`);
    assert.doesNotMatch(about, /^(it|the|an?) /i, `${name}: no article behind the colon`);
    if (fallback !== undefined) continue;
    await assert.rejects(loadSettings([name], [], []), (error: unknown) => {
      assert(error instanceof UsageError);
      assert.equal(error.what, `${name} is missing`);
      assert.equal(error.why, `${name}: ${about}`);
      return true;
    });
  }
  await assert.rejects(loadSettings([], ["PM_TLS_INSECURE"], [source({ PM_TLS_INSECURE: "x" })]), {
    why: "PM_TLS_INSECURE: do not verify the node's certificate at all; every run says so (taken from the test)",
  });
});

test("what was wrong on the command line is mended there, what was wrong elsewhere in .env", async () => {
  const advice = async (from: string): Promise<string | undefined> =>
    await loadSettings([], ["ENV"], [source({ ENV: "No!" }, from)]).then(
      () => assert.fail("it was taken"),
      (error: unknown) => (error instanceof UsageError ? error.todo[0] : undefined),
    );
  assert.equal(await advice("the command line"), "Give another one: --env k3s-single");
  assert.equal(
    await advice("the environment"),
    "Change or unset it in the environment: export ENV=k3s-single",
    "the environment beats .env",
  );
  assert.equal(await advice(".env"), "Set it in .env: ENV=k3s-single");
});

test("what a tfvars file gave is mended there, and named as it is there", async () => {
  const sources = [source({ PM_NODE: "-x" }, "terraform/envs/k3s-single/terraform.tfvars")];
  await assert.rejects(loadSettings(["PM_NODE"], [], sources), (error: unknown) => {
    assert(error instanceof UsageError);
    assert.equal(error.todo[0], 'Change it in terraform/envs/k3s-single/terraform.tfvars: node = "pve"');
    return true;
  });
});

test("advice carries no layout: machines read it too", async () => {
  const bad = source(Object.fromEntries(SETTING_NAMES.map((name) => [name, "CHANGEME"])), "the environment");
  for (const sources of [[], [bad]])
    await assert.rejects(loadSettings(SETTING_NAMES, [], sources), (error: unknown) => {
      assert(error instanceof UsageError);
      assert.match(error.todo.join("\n"), /^Where to get it: /m);
      for (const line of [...error.todo, ...(error.why ?? "").split("\n")]) assert.equal(line, line.trim());
      return true;
    });
});

describe("PM_TLS_CA", () => {
  const dir = mkdtempSync(join(tmpdir(), "homelab-ca-"));
  after(() => rmSync(dir, { recursive: true }));
  const load = async (text: string): Promise<string> => {
    const file = join(dir, "ca.pem");
    writeFileSync(file, text);
    return (await loadSettings(["PM_TLS_CA"], [], [source({ PM_TLS_CA: file })])).PM_TLS_CA;
  };
  const refused = (reason: RegExp) => (error: unknown) => {
    assert(error instanceof UsageError);
    assert.match(error.what, reason);
    return true;
  };
  const [good = ""] = rootCertificates;

  test("is a file with a certificate, whatever stands around it", async () => {
    for (const text of [
      good,
      `# the node's\n${good}\n`,
      good.replaceAll("\n", "\r\n"),
      `${broken(good)}\n${good}`,
    ])
      assert.equal(await load(text), join(dir, "ca.pem"));
  });

  test("is refused without one", async () => {
    const key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n";
    for (const text of ["", "AB:CD", key, broken(good), good.slice(0, -20)])
      await assert.rejects(load(text), refused(/^PM_TLS_CA is not valid: it holds no certificate$/));
  });

  test("is refused when it is no file", async () => {
    await assert.rejects(
      loadSettings(["PM_TLS_CA"], [], [source({ PM_TLS_CA: dir })]),
      refused(/^PM_TLS_CA is not valid: .* is a folder$/),
    );
  });

  test("and PM_TLS_FINGERPRINT at once are refused, naming both and where they are", async () => {
    await load(good);
    const sources = [
      source({ PM_TLS_FINGERPRINT: "AB".repeat(32) }, "the environment"),
      source({ PM_TLS_CA: join(dir, "ca.pem") }, ".env"),
    ];
    await assert.rejects(loadSettings([], ["PM_TLS_CA", "PM_TLS_FINGERPRINT"], sources), (error: unknown) => {
      assert(error instanceof UsageError);
      assert.equal(error.what, "PM_TLS_CA and PM_TLS_FINGERPRINT are set, and only one of them may be");
      assert.match(error.why ?? "", /^PM_TLS_CA: .*\(taken from \.env\)$/m);
      assert.match(error.why ?? "", /^PM_TLS_FINGERPRINT: .*\(taken from the environment\)$/m);
      assert.equal(
        error.todo[0],
        "Keep one of them: PM_TLS_CA in .env, or PM_TLS_FINGERPRINT in the environment",
      );
      return true;
    });
    // Who needs only one of them does not mind.
    const { PM_TLS_CA } = await loadSettings([], ["PM_TLS_CA"], sources);
    assert.equal(PM_TLS_CA, join(dir, "ca.pem"));
  });
});

/** A certificate whose first bytes are others. */
function broken(pem: string): string {
  return pem.replace("\nMII", "\nAAA");
}

test("the setting that was meant is found: one or two letters away, or in small letters", () => {
  for (const [written, meant] of [
    ["PM_NODEE", "PM_NODE"],
    ["PM_NDOE", "PM_NODE"],
    ["PM_STORGE", "PM_STORAGE"],
    ["PM_API_TOKEN_SECERT", "PM_API_TOKEN_SECRET"],
    ["pm_api_url", "PM_API_URL"],
    ["GIT_REPO_URI", "GIT_REPO_URL"],
    ["KUBECONFG", "KUBECONFIG"],
    ["ENVV", "ENV"],
  ] as const)
    assert.equal(meantSetting(written), meant, written);
  for (const written of [
    "EDITOR",
    "PATH",
    "NODE_ENV",
    "HOMELAB_TOOLS",
    "EDGE",
    "MARCH5",
    "",
    ...SETTING_NAMES,
  ])
    assert.equal(meantSetting(written), undefined, written);
  fc.assert(
    fc.property(
      fc.constantFrom(...SETTING_NAMES),
      fc.nat(),
      fc.constantFrom("X", "9"),
      (name, at, letter) => {
        const written = name.slice(0, at % name.length) + letter + name.slice(at % name.length);
        assert.equal(meantSetting(written), name, written);
      },
    ),
  );
});

test("what is suggested to a person is valid, and follows from what is known", () => {
  const suggestion = (name: SettingName, given: Record<string, string>): string | undefined =>
    specOf(name).suggest?.((other) => given[other]);
  assert.equal(suggestion("PM_API_URL", {}), undefined);
  assert.equal(suggestion("PM_API_URL", { PM_SSH_HOST: "pve.lan" }), "https://pve.lan:8006/api2/json");
  assert.equal(suggestion("PM_API_URL", { PM_SSH_HOST: "fd00::10" }), "https://[fd00::10]:8006/api2/json");
  for (const name of SETTING_NAMES) {
    const text = suggestion(name, { PM_SSH_HOST: "fd00::10" });
    if (text !== undefined) assert.doesNotThrow(() => specOf(name).parse(text), name);
  }
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
  ["PM_API_TIMEOUT", "0", /seconds/],
  ["PM_API_TIMEOUT", "1.5", /seconds/],
  ["TOOL_LOG", "loud", /off or debug or trace/],
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

test("a time is given in seconds and kept in milliseconds", async () => {
  const { PM_API_TIMEOUT } = await loadSettings([], ["PM_API_TIMEOUT"], [source({ PM_API_TIMEOUT: "120" })]);
  assert.equal(PM_API_TIMEOUT, 120_000);
  assert.equal((await loadSettings([], ["PM_API_TIMEOUT"], [])).PM_API_TIMEOUT, 30_000);
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

test("readSources: the environment beats .env beats globals.tfvars; a secret in either tfvars is refused", async () => {
  const root = await mkdtemp(join(tmpdir(), "homelab-settings-"));
  const { mkdir } = await import("node:fs/promises");
  await mkdir(join(root, "terraform"));
  await writeFile(join(root, ".env"), "PM_STORAGE=from-dotenv\nPM_NODEE=pve2\nEDITOR=vi\n", { mode: 0o644 });
  await chmod(join(root, ".env"), 0o644);
  await writeFile(join(root, "terraform", "globals.tfvars"), 'storage = "from-globals"\nbridge = "vmbr7"\n');
  const notices: string[] = [];
  const sources = await readSources(root, (line) => notices.push(line));
  const settings = await loadSettings(["PM_STORAGE", "PM_BRIDGE"], [], sources.slice(1));
  assert.deepEqual({ ...settings }, { PM_STORAGE: "from-dotenv", PM_BRIDGE: "vmbr7" });
  assert.equal(notices.length, 2);
  assert.match(notices[0] ?? "", /chmod 600/);
  assert.equal(notices[1], "PM_NODEE in .env is no setting; did you mean PM_NODE?");

  for (const file of ["globals.tfvars", join("envs", "k3s-single", "terraform.tfvars")]) {
    await mkdir(join(root, "terraform", "envs", "k3s-single"), { recursive: true });
    await writeFile(join(root, "terraform", file), 'pm_api_token_secret = "x"\n');
    await assert.rejects(readSources(root), /does not belong/);
    await rm(join(root, "terraform", file));
  }
});
