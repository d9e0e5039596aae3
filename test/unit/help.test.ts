import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import * as v from "valibot";
import { SETTING_NAMES, specOf } from "../../lib/config/index.ts";
import { COMMON_FLAGS } from "../../lib/task/flags.ts";
import { helpOf } from "../../lib/task/help.ts";
import { ROOT } from "../../lib/task/index.ts";
import { runTask } from "../support/command-line.ts";

const names = readdirSync(join(ROOT, "tasks"))
  .filter((file) => file.endsWith(".ts"))
  // What is no command lies there too, for several of them.
  .filter((file) => /\bdefineCommand\(/.test(readFileSync(join(ROOT, "tasks", file), "utf8")))
  .map((file) => file.replace(/\.ts$/, ""));
const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
  scripts: Record<string, string>;
};

/** Says the help of every command in one process. */
const PRINT_HELP = join(ROOT, "test", "support", "print-help.ts");
const HelpsSchema = v.record(v.string(), v.string());

/** What a command file declares between one of its lists' brackets; nothing for a list that lies elsewhere. */
function declared(name: string, list: "requires" | "uses"): string[] {
  const source = readFileSync(join(ROOT, "tasks", `${name}.ts`), "utf8");
  const [, text = ""] = new RegExp(`^ {2}${list}: \\[([^\\]]*)\\]`, "m").exec(source) ?? [];
  return [...text.matchAll(/"([A-Z_]+)"/g)].map(([, setting = ""]) => setting);
}

describe("--help", () => {
  let helps: Readonly<Record<string, string>> = {};
  before(async () => {
    const { code, stdout, stderr } = await runTask(PRINT_HELP);
    assert.equal(code, 0, stderr);
    helps = v.parse(HelpsSchema, JSON.parse(stdout));
  });

  for (const name of names) {
    test(`of ${name} says how it is called, by its npm script too, with its flags and settings`, () => {
      const stdout = helps[name] ?? assert.fail("it said nothing");
      assert.match(stdout, /^[A-Z].*[^.]\n\nUsage\n/, "one sentence first");
      assert.match(stdout, new RegExp(`^ {2}npx tsx tasks/${name}\\.ts .*\\[flags\\]$`, "m"));
      assert.match(stdout, new RegExp(`^ {2}npm run ${name} -- .*\\[flags\\]$`, "m"));
      assert.match(scripts[name] ?? "", new RegExp(`\\btasks/${name}\\.ts$`));
      for (const [flag, { about }] of Object.entries(COMMON_FLAGS)) {
        assert.match(stdout, new RegExp(`^ {2}--${flag}\\b.* {2}${about.replace(/[()]/g, "\\$&")}`, "m"));
      }
      for (const setting of [...declared(name, "requires"), ...declared(name, "uses")]) {
        assert.match(stdout, new RegExp(`^ {2}${setting} +\\S`, "m"));
      }
      for (const line of stdout.split("\n")) assert.ok(line.length <= 160, `too long: ${line}`);
    });
  }

  test("of a command in a process of its own is the same, alone on stdout, with any other flag too", async () => {
    const task = join(ROOT, "tasks", "setup.ts");
    for (const flags of [["--help"], ["--yes", "--help", "--for", "deploy"]]) {
      assert.deepEqual(await runTask(task, ...flags), { code: 0, stdout: helps.setup, stderr: "" });
    }
  });
});

test("every npm script of a task has its file", () => {
  for (const [name, script] of Object.entries(scripts)) {
    const [, file] = /\btasks\/([\w-]+)\.ts$/.exec(script) ?? [];
    if (file !== undefined) assert.equal(file, name);
  }
});

test("the help of a command is made of its declaration", () => {
  const text = helpOf({
    name: "try-out",
    summary: "Try it",
    positionals: [{ name: "FILE", about: "the file" }],
    flags: { "keep-it": { type: "string", multiple: true, value: "NAME", about: "keep it" } },
    requires: ["PM_API_URL"],
    uses: ["PM_NODE"],
  });
  assert.match(text, /^Try it\n\nUsage\n {2}npx tsx tasks\/try-out\.ts FILE \[flags\]\n/);
  assert.match(text, /\nArguments\n {2}FILE {2}the file\n/);
  assert.match(text, /\nFlags\n {2}--keep-it NAME {2}keep it \(may be repeated\)\n/);
  assert.match(text, /\nSettings it needs\n {2}PM_API_URL {2}address of the Proxmox API\n/);
  assert.match(text, /\nSettings it uses\n {2}PM_NODE {2}.* \(default pve\)\n/);
});

test("a setting is listed once, with those that are needed if it is, in the order of .env.example", () => {
  const text = helpOf({
    name: "try-out",
    summary: "Try it",
    requires: ["PM_STORAGE", "PM_API_URL", "PM_STORAGE"],
    uses: ["PM_BRIDGE", "PM_STORAGE", "PM_NODE", "PM_SSH_HOST", "PM_BRIDGE"],
    demands: (sources) => (sources.length === 0 ? ["PM_SSH_HOST"] : []),
  });
  const [, settings = ""] = text.split(/\n(?=Settings it needs)/);
  assert.deepEqual(settings.match(/^(?:Settings it \w+| {2}PM_\w+)/gm), [
    "Settings it needs",
    "  PM_API_URL",
    "  PM_SSH_HOST",
    "  PM_STORAGE",
    "Settings it uses",
    "  PM_NODE",
    "  PM_BRIDGE",
  ]);
});

test("no help shows a secret's default", () => {
  for (const name of SETTING_NAMES) {
    const { secret, fallback } = specOf(name);
    if (secret) assert.equal(fallback, undefined, name);
  }
});
