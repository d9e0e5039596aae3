import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, beforeEach, describe, test } from "node:test";
import { runGently } from "../../lib/gentle.ts";
import { run, watchCommands } from "../../lib/process.ts";
import { registerSecret } from "../../lib/secrets.ts";
import { keepToolLogs, type ToolLogLevel } from "../../lib/tool-log.ts";

/** A tool's own log, and what is told of the programs that are run. */

const dir = mkdtempSync(join(tmpdir(), "homelab-tool-log-"));
const SECRET = "a-very-secret-word";
/** A secret that JSON, which tools log, writes in another way than it is. */
const QUOTED = 'with "quotes" and \\';
registerSecret(SECRET);
registerSecret(QUOTED);
after(() => rmSync(dir, { recursive: true, force: true }));

/** A program of a tool's name that says on stderr what it was told to log, and an error after it. */
function program(name: string, script: string): string {
  const file = join(mkdtempSync(join(dir, "bin-")), name);
  writeFileSync(file, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return file;
}
const SCRIPT = `
echo '{"result":1}'
echo "2026-11-26T15:00:00.000Z [TRACE] level \${TF_LOG:-none} \${PACKER_LOG:-none} path \${TF_LOG_PATH:-none}" >&2
echo "2026-11-26T15:00:00.000Z [DEBUG] Authorization: PVEAPIToken=me@pam!it=12345678-aaaa ${SECRET}" >&2
echo "  its body: ${SECRET}" >&2
printf '%s\\n' '  in JSON: ${JSON.stringify({ passphrase: QUOTED })}' >&2
echo "-----BEGIN OPENSSH PRIVATE KEY-----" >&2
echo "b3BlbnNzaC1rZXkgbm8gcmVhbCBvbmU" >&2
echo "-----END OPENSSH PRIVATE KEY-----" >&2
echo "Error: it is broken" >&2
exit 3`;

let folder: string;
let begun: string[];
const keep = (level: ToolLogLevel): void =>
  keepToolLogs({ level, folder, begun: (file) => begun.push(file) });
beforeEach(() => {
  folder = join(mkdtempSync(join(dir, "logs-")), "logs");
  begun = [];
});
afterEach(() => {
  keepToolLogs(undefined);
  watchCommands(undefined);
});

const env = { ...process.env, TF_LOG_PATH: "/elsewhere", TF_LOG: "info" };

describe("the log of a tool", () => {
  for (const [tool, level, told] of [
    ["tofu", "trace", "level TRACE none path none"],
    ["tofu", "debug", "level DEBUG none path none"],
    ["packer", "debug", "level info 1 path /elsewhere"],
  ] as const) {
    test(`of ${tool} at ${level} is a file for its owner alone, without secrets; the error stays an error`, async () => {
      keep(level);
      const result = await runGently(program(tool, SCRIPT), ["plan", "-json"], { cwd: dir, env });
      assert.deepEqual(result, { stdout: '{"result":1}\n', stderr: "Error: it is broken", exitCode: 3 });
      const [file = ""] = begun;
      assert.match(file, new RegExp(`/logs/\\d{8}T\\d{6}Z-${tool}-\\d+\\.log$`));
      assert.equal(statSync(file).mode & 0o777, 0o600);
      assert.equal(statSync(folder).mode & 0o777, 0o700);
      const text = readFileSync(file, "utf8");
      assert.match(text, new RegExp(`^# \\S+ ${tool} plan -json$`, "m"));
      assert.match(text, new RegExp(told));
      assert.match(text, /PVEAPIToken=me@pam!it=\*\*\* \*\*\*$/m);
      assert.match(text, /^ {2}its body: \*\*\*$/m);
      assert.match(text, /^ {2}in JSON: \{"passphrase":"\*\*\*"\}$/m);
      assert.match(text, /^Error: it is broken$/m);
      assert.match(text, /^# \S+ \S+ ended: 3$/m);
      for (const secret of [SECRET, "12345678", "b3BlbnNz"]) assert.ok(!text.includes(secret), secret);
    });
  }

  test("goes on in one file for one tool's runs, and has one for each tool", async () => {
    keep("debug");
    const [tofu, packer] = [program("tofu", SCRIPT), program("packer", SCRIPT)];
    for (const each of [tofu, tofu, packer]) await runGently(each, ["x"], { cwd: dir, env });
    assert.equal(begun.length, 2);
    assert.deepEqual(readdirSync(folder).length, 2);
    assert.equal(readFileSync(begun[0] ?? "", "utf8").match(/^# \S+ tofu x$/gm)?.length, 2);
  });

  test("is not kept of other programs, nor when it is not wanted", async () => {
    keep("trace");
    const other = await runGently(program("kubectl", SCRIPT), [], { cwd: dir, env });
    assert.match(other.stderr, /level info none path \/elsewhere/);
    keepToolLogs(undefined);
    const unwanted = await runGently(program("tofu", SCRIPT), [], { cwd: dir, env });
    assert.match(unwanted.stderr, /level info none/);
    assert.equal(existsSync(folder), false);
  });
});

describe("command lines", () => {
  test("are told as they would be typed, with their folder, without secrets", async () => {
    const lines: string[] = [];
    watchCommands((line) => lines.push(line));
    await run("printf", ["%s", "two words", SECRET], { cwd: dir });
    await run("true", ["x".repeat(1_000)]);
    await runGently(program("tofu", "exit 0"), ["init"], { cwd: process.cwd(), env });
    assert.equal(lines[0], `printf $'%s' $'two words' ***  # in ${dir}`);
    assert.match(lines[1] ?? "", /^true x{395} …$/);
    assert.match(lines[2] ?? "", /^\S+\/tofu init$/);
    watchCommands(undefined);
    await run("true", []);
    assert.equal(lines.length, 3);
  });
});
