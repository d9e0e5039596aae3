import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { RunResult } from "../../lib/process.ts";
import { NodeShell } from "../../lib/proxmox/index.ts";
import { type Sandbox, startSandbox } from "../../lib/sandbox/index.ts";
import { sandboxSettings } from "../../lib/task/index.ts";
import { NO_TERMINAL, startInTerminal } from "../support/terminal.ts";
import { eventsOf, WorkingCopy } from "../support/working-copy.ts";

/** What preflight repairs: nothing without --fix, each thing shown and asked for, and looked at again afterwards. */

const base = mkdtempSync(join(tmpdir(), "homelab-preflight-fix-"));
const copy = new WorkingCopy();
let sandbox: Sandbox;
let shell: NodeShell;
/** As somebody sets them who has a node like the sandbox's. */
let settings: Record<string, string>;

before(async () => {
  sandbox = await startSandbox({ dir: join(base, "sandbox") });
  const { sshHost: host, sshUser: user, sshPort: port, sshConfigFile: configFile } = sandbox.endpoints;
  shell = new NodeShell({ host, user, port, configFile });
  settings = Object.fromEntries(
    Object.entries(sandboxSettings(sandbox)).filter(([, value]) => value !== "false"),
  );
});
after(async () => {
  await shell.close();
  await sandbox.stop();
  copy.remove();
  rmSync(base, { recursive: true, force: true });
});

const CONTENT = "backup,iso,vztmpl,snippets,images,rootdir";
const dotenv = (): string => join(copy.root, ".env");

/** A storage that takes no images to import, and secrets that everybody may read. */
async function spoil(): Promise<void> {
  await shell.run(["pvesm", "set", "local", "--content", CONTENT]);
  writeFileSync(dotenv(), "# mine\n");
  chmodSync(dotenv(), 0o644);
}

async function contentOfLocal(): Promise<string> {
  const { stdout } = await shell.run(["pvesh", "get", "/storage/local", "--output-format", "json"]);
  return String((JSON.parse(stdout) as { content: string }).content);
}

const preflight = async (...flags: string[]): Promise<RunResult> =>
  await copy.task("preflight", ["--only", "dotenv,node/upload", ...flags], settings);

describe("without an answer", () => {
  before(spoil);

  test("preflight says what it can repair, and changes nothing", async () => {
    const { exitCode, stderr } = await preflight();
    assert.equal(exitCode, 1);
    assert.match(stderr, /^✖ dotenv {2}failed\n {4}\.env can be read by others \(its mode is 644\)/m);
    assert.match(stderr, /\$ npm run preflight -- --fix$/m);
    assert.equal(statSync(dotenv()).mode & 0o777, 0o644);
    assert.equal(await contentOfLocal(), CONTENT);
  });

  test("--json names each repair with its commands", async () => {
    const { stdout } = await preflight("--json");
    const { checks } = eventsOf({ stdout, stderr: "", exitCode: 1 }).at(-1) as unknown as {
      checks: { name: string; findings: { repair?: { title: string; shows: string[] } }[] }[];
    };
    const repairs = checks.flatMap(({ findings }) => findings.flatMap(({ repair }) => repair ?? []));
    assert.deepEqual(
      repairs.map(({ title, shows }) => ({ title, shows })),
      [
        { title: "Let nobody else read .env", shows: ["$ chmod 600 .env"] },
        {
          title: "Let the storage local take import",
          shows: [`$ pvesm set local --content ${CONTENT},import`],
        },
      ],
    );
  });

  test("--fix --dry-run shows what would be offered", async () => {
    const { exitCode, stderr } = await preflight("--fix", "--dry-run");
    assert.equal(exitCode, 1);
    assert.match(stderr, /Would be offered: Let nobody else read \.env\n +\$ chmod 600 \.env/);
    assert.match(stderr, /Would be offered: Let the storage local take import/);
    assert.equal(statSync(dotenv()).mode & 0o777, 0o644);
  });

  test("--fix without a terminal says how to answer, and does nothing", async () => {
    const { exitCode, stderr } = await preflight("--fix");
    assert.equal(exitCode, 2);
    assert.match(stderr, /There is no terminal to ask: Run it here\?[\s\S]*--yes/);
    assert.equal(statSync(dotenv()).mode & 0o777, 0o644);
    assert.equal(await contentOfLocal(), CONTENT);
  });
});

describe("with --fix --yes", () => {
  test("each is repaired, looked at again, and all is well", async () => {
    await spoil();
    const { exitCode, stderr, stdout } = await preflight("--fix", "--yes");
    assert.equal(exitCode, 0, stderr);
    assert.equal(statSync(dotenv()).mode & 0o777, 0o600);
    assert.equal(readFileSync(dotenv(), "utf8"), "# mine\n");
    assert.equal(await contentOfLocal(), `${CONTENT},import`);
    assert.match(stderr, /^• \$ chmod 600 \.env\n✔ Let nobody else read \.env/m);
    assert.match(stderr, /▸ Check 2 things side by side[\s\S]*▸ Check 2 things side by side/);
    assert.match(stdout, /^2 checks passed$/m);
  });

  test("a repair that fails is told, and the next one is done all the same", async () => {
    await spoil();
    sandbox.faults.set([
      { where: "command", match: "pvesm set *", count: "always", effect: { exit: 2, stderr: "no quorum\n" } },
    ]);
    try {
      const { exitCode, stderr } = await preflight("--fix", "--yes");
      // The other way is enough for an image.
      assert.equal(exitCode, 0, stderr);
      assert.match(stderr, /no quorum/);
      assert.equal(statSync(dotenv()).mode & 0o777, 0o600);
      assert.match(stderr, /--via api does not work/);
    } finally {
      sandbox.faults.clear();
    }
  });

  test("a certificate is not pinned: nobody has looked at it", async () => {
    const { PM_TLS_CA: _, ...unknown } = settings;
    const flags = ["--only", "node/certificate", "--fix", "--yes"];
    const { exitCode, stderr } = await copy.task("preflight", flags, unknown);
    assert.equal(exitCode, 1);
    assert.match(stderr, /left as it is: somebody has to look at it/);
    assert.doesNotMatch(readFileSync(dotenv(), "utf8"), /PM_TLS_FINGERPRINT/);
  });
});

describe("on a terminal", { skip: NO_TERMINAL }, () => {
  for (const [key, pinned] of [
    ["n", false],
    ["y", true],
  ] as const) {
    test(`a certificate is shown, and ${pinned ? "pinned" : "not pinned"} when the answer is ${key}`, async () => {
      writeFileSync(dotenv(), "# mine\n", { mode: 0o600 });
      const { PM_TLS_CA: _, ...unknown } = settings;
      const line = `${process.execPath} --import tsx tasks/preflight.ts --only node/certificate,node/version --fix`;
      const running = startInTerminal(line, {
        cwd: copy.root,
        env: { ...unknown, HOME: copy.home },
      });
      await running.until(/Is it the same on the node\?/);
      running.child.stdin?.write(key);
      const { code, stdout } = await running.ended;
      assert.match(stdout, /fingerprint:\s+([0-9A-F]{2}:){31}/);
      assert.match(stdout, /pvenode cert info/);
      assert.equal(code, pinned ? 0 : 1, stdout);
      const text = readFileSync(dotenv(), "utf8");
      assert.match(
        text,
        pinned ? /^# mine\nPM_TLS_FINGERPRINT=([0-9A-F]{2}:){31}[0-9A-F]{2}\n$/ : /^# mine\n$/,
      );
    });
  }
});
