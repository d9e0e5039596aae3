import assert from "node:assert/strict";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { RunResult } from "../../lib/process.ts";
import { type Sandbox, startSandbox } from "../../lib/sandbox/index.ts";
import { createQcow2 } from "../../lib/sandbox/world/qcow2.ts";
import { startCommand, TRY_OUT } from "../support/command-line.ts";
import { PveApi } from "../support/pve.ts";
import { noteCommands, Onlooker, openTo, texts } from "../support/secrets/watch.ts";
import { WorkingCopy } from "../support/working-copy.ts";

/** Tasks with marked secrets, and everything that they show, write and start: the secrets are in none of it. */

// What encodings and quotes make something else of.
const PASSPHRASE = "marked pass\"phrase \\ 'of' <all> & %sorts";
const NAME = "alma9-k3-node-amd64-v1.28.5-v1";
const GIB = 1024 ** 3;

const copy = new WorkingCopy();
const base = mkdtempSync(join(tmpdir(), "homelab-secrets-"));
const temporary = join(base, "tmp");
const dir = join(copy.root, ".homelab", "sandbox");
const image = join(base, "image.qcow2");
let sandbox: Sandbox;
let onlooker: Onlooker;
let commands: string;
const usual = process.umask();

before(async () => {
  mkdirSync(temporary);
  commands = noteCommands(base);
  sandbox = await startSandbox({ dir });
  await new PveApi(sandbox.endpoints).createTemplate(9000, NAME);
  await createQcow2(image, GIB);
  const key = readFileSync(join(dir, "ssh", "id_ed25519"), "utf8").split("\n");
  onlooker = new Onlooker(
    {
      "the token's secret": sandbox.endpoints.tokenSecret,
      "the passphrase": PASSPHRASE,
      "the SSH key": key[Math.floor(key.length / 2)] ?? "",
    },
    temporary,
  );
  // Nothing that is made by a task may count on the person's umask.
  process.umask(0);
  onlooker.start();
});

after(async () => {
  process.umask(usual);
  await sandbox?.stop();
  copy.remove();
  rmSync(base, { recursive: true, force: true });
});

async function task(
  name: string,
  flags: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<RunResult> {
  return await copy.task(name, ["--sandbox", ...flags], {
    TF_STATE_PASSPHRASE: PASSPHRASE,
    IMAGE_VERSION: NAME,
    TMPDIR: temporary,
    PATH: `${join(base, "bin")}:${process.env.PATH}`,
    ...env,
  });
}

interface Run {
  readonly title: string;
  readonly name: string;
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly code?: number;
}

const RUNS: readonly Run[] = [
  { title: "images", name: "images" },
  { title: "images for machines", name: "images", flags: ["--json"] },
  { title: "leftovers, with all command lines", name: "leftovers", flags: ["--verbose"] },
  {
    title: "an upload over SSH",
    name: "upload-image",
    flags: ["IMAGE", "alma9-k3-node-amd64-v1.28.5-v2", "--verbose"],
  },
  {
    title: "an upload by the API",
    name: "upload-image",
    flags: ["IMAGE", "alma9-k3-node-amd64-v1.28.5-v3", "--via", "api"],
  },
  {
    title: "an upload of what is no image",
    name: "upload-image",
    flags: ["COMMANDS", "alma9-k3-node-amd64-v1.28.5-v4", "--verbose"],
    code: 1,
  },
  {
    title: "a plan, with all that OpenTofu logs",
    name: "tf-plan",
    flags: ["--verbose"],
    env: { TOOL_LOG: "trace" },
  },
  { title: "a plan for machines, logged", name: "tf-plan", flags: ["--json"], env: { TOOL_LOG: "debug" } },
  {
    title: "a plan that fails",
    name: "tf-plan",
    flags: ["--verbose", "--json"],
    env: { IMAGE_VERSION: "alma9-k3-node-amd64-v1.28.5-v9", TOOL_LOG: "trace" },
    code: 1,
  },
  { title: "VMs that are made", name: "tf-apply", flags: ["--yes", "--verbose"], env: { TOOL_LOG: "trace" } },
  {
    title: "a passphrase that is too short",
    name: "tf-plan",
    env: { TF_STATE_PASSPHRASE: "marked secret" },
    code: 2,
  },
  {
    title: "another passphrase",
    name: "tf-plan",
    flags: ["--verbose"],
    env: { TF_STATE_PASSPHRASE: `not ${PASSPHRASE}` },
    code: 2,
  },
  { title: "the status", name: "status", flags: ["--verbose"], code: 0 },
];

test("the onlooker sees what there is to see", () => {
  for (const text of [PASSPHRASE, JSON.stringify({ PASSPHRASE }), encodeURIComponent(PASSPHRASE)])
    assert.deepEqual(onlooker.in("a text", `before ${text} behind`), ["the passphrase in a text"]);
  const folder = mkdtempSync(join(base, "open-"));
  chmodSync(folder, 0o755);
  writeFileSync(join(folder, "wide"), "");
  writeFileSync(join(folder, "narrow"), "", { mode: 0o600 });
  assert.deepEqual(openTo(folder), [join(folder, "wide")]);
});

describe("no secret is shown by", () => {
  for (const { title, name, flags = [], env = {}, code = 0 } of RUNS) {
    test(title, async () => {
      const words = flags.map((flag) => ({ IMAGE: image, COMMANDS: commands })[flag] ?? flag);
      const { stdout, stderr, exitCode } = await task(name, words, env);
      assert.equal(exitCode, code, stderr);
      assert.deepEqual([...onlooker.in("stdout", stdout), ...onlooker.in("stderr", stderr)], []);
    });
  }
});

describe("afterwards no secret is", () => {
  test("in an argument of any process, nor could others read a temporary file", async () => {
    const { seen, looks } = await onlooker.stop();
    // Where tsx keeps what it has compiled: our code, which everybody may read.
    assert.deepEqual(
      seen.filter((each) => !/\/tsx-\d+\//.test(each)),
      [],
    );
    assert.ok(looks > 50, `it looked ${looks} times`);
    const told = readFileSync(commands, "latin1");
    for (const program of ["tofu", "ssh"]) assert.match(told, new RegExp(`\\b${program}\\b`), "it was noted");
    assert.deepEqual(onlooker.in("the command lines", told), []);
  });

  test("in a log, a state, a plan or a file of ours; where it belongs nobody else can read it", () => {
    const homelab = join(copy.root, ".homelab");
    // The simulated node, which checks tokens and lets keys in.
    const node = /\/sandbox\/(?!tofu\/)/;
    const files = [
      ...texts(homelab, node),
      ...texts(temporary, /^$/),
      ...texts(join(copy.root, "terraform"), /^$/),
    ];
    assert.ok(
      files.some(([path]) => /\/logs\/.*-tofu-/.test(path)) &&
        files.some(([path]) => /\.tfstate$/.test(path)),
    );
    assert.deepEqual(
      files.flatMap(([path, text]) => onlooker.in(path, text)),
      [],
    );
    assert.deepEqual(openTo(homelab), []);
    assert.equal(statSync(join(homelab, "logs")).mode & 0o777, 0o700);
  });

  test("left in the temporary folder", () => {
    assert.deepEqual(
      readdirSync(temporary).filter((name) => /^(homelab|hl)-/.test(name)),
      [],
    );
  });
});

describe("a crash", () => {
  const SECRET = 'quoted"and\\secret';
  for (const way of ["crash", "reject"] as const) {
    for (const flags of [[], ["--json"], ["--verbose"]] as const) {
      test(`of the kind "${way}" ${flags.join("")} says what it was, without the secret, and that it is a bug`, async () => {
        const ended = await startCommand(process.execPath, ["--import", "tsx", TRY_OUT, way, ...flags]).ended;
        assert.equal(ended.code, 1, ended.stderr);
        assert.match(ended.stderr, /^✖ This is a bug in homelab\n\n {2}Why\n {4}lost \*\*\*$/m);
        assert.match(ended.stderr, /What was under way is left as it is/);
        for (const text of [ended.stdout, ended.stderr])
          for (const form of [SECRET, JSON.stringify(SECRET).slice(1, -1), "and\\secret"])
            assert.ok(!text.includes(form), text);
        if (flags[0] === "--json")
          assert.equal(JSON.parse(ended.stdout.trim().split("\n").at(-1) ?? "").ok, false);
      });
    }
  }

  for (const signal of ["SIGQUIT", "SIGABRT", "SIGUSR2"] as const) {
    test(`by ${signal} leaves neither core nor report, whatever was asked of Node.js`, async (t) => {
      if (process.platform !== "linux") return t.skip("limits are read from /proc");
      const folder = mkdtempSync(join(base, "crash-"));
      const report = `--report-on-fatalerror --report-uncaught-exception --report-on-signal --report-signal=SIGUSR2 --report-directory=${folder}`;
      const line = `ulimit -S -c unlimited 2>/dev/null; exec ${process.execPath} ${report} --import ${import.meta.resolve("tsx")} ${TRY_OUT} wait`;
      const running = startCommand("/bin/sh", ["-c", line], { cwd: folder });
      await running.until(/waiting in (\d+)/);
      const limits = readFileSync(`/proc/${running.child.pid}/limits`, "utf8");
      assert.match(limits, /^Max core file size +0 +0 /m);
      running.child.kill(signal);
      await running.ended;
      assert.equal(running.child.signalCode, signal);
      assert.deepEqual(readdirSync(folder), []);
    });
  }
});
