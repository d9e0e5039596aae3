import assert from "node:assert/strict";
import { test } from "node:test";
import { UsageError } from "../../lib/errors.ts";
import { COMMON_FLAGS, parseFlags } from "../../lib/task/flags.ts";

const specs = {
  "allow-replace": { type: "string", multiple: true, value: "VM", about: "VMs" },
  "keep-it": { type: "boolean", about: "keep it" },
  out: { type: "string", value: "FILE", about: "a file" },
} as const;

function parse(argv: readonly string[], positionals: readonly string[] = []) {
  return parseFlags(argv, specs, positionals, "npx tsx tasks/try.ts");
}

test("flags that are not given are false, undefined or an empty list", () => {
  assert.deepEqual(parse([]), {
    flags: {
      help: false,
      env: undefined,
      sandbox: false,
      yes: false,
      json: false,
      dryRun: false,
      verbose: false,
      allowReplace: [],
      keepIt: false,
      out: undefined,
    },
    args: [],
  });
});

test("every command understands the same flags", () => {
  assert.deepEqual(Object.keys(COMMON_FLAGS), [
    "help",
    "env",
    "sandbox",
    "yes",
    "json",
    "dry-run",
    "verbose",
  ]);
});

test("flags may stand anywhere, with their value behind = or a blank, some of them several times", () => {
  const { flags, args } = parse(
    ["--out=a b", "FILE", "--allow-replace", "one", "--dry-run", "--allow-replace=two", "VERSION"],
    ["FILE", "VERSION"],
  );
  assert.deepEqual(args, ["FILE", "VERSION"]);
  assert.equal(flags.out, "a b");
  assert.equal(flags.dryRun, true);
  assert.deepEqual(flags.allowReplace, ["one", "two"]);
});

test("what follows -- is an argument, even if it looks like a flag", () => {
  assert.deepEqual(parse(["--", "--out"], ["FILE"]).args, ["--out"]);
});

test("--help needs no arguments", () => {
  assert.equal(parse(["--help"], ["FILE"]).flags.help, true);
});

for (const [argv, why] of [
  [["--nope"], "Unknown option '--nope'"],
  [["-x"], "Unknown option '-x'"],
  [["--json=yes"], "Option '--json' does not take an argument"],
  [["--out"], "Option '--out <value>' argument missing"],
  [["--out", "--json"], "Option '--out' argument missing"],
  [["--no-json"], "Unknown option '--no-json'"],
  [["--env", "", "one"], "Option '--env <value>' argument missing"],
  [["--allow-replace", "a", "--allow-replace=", "one"], "Option '--allow-replace <value>' argument missing"],
  [[""], "FILE is empty"],
  [["one", "two"], '"two" is one argument too many'],
  [[], "FILE is missing"],
] as const) {
  test(`"${argv.join(" ")}" is wrong usage: ${why}`, () => {
    assert.throws(
      () => parse(argv, ["FILE"]),
      (error: unknown) => {
        assert(error instanceof UsageError);
        assert.equal(error.exitCode, 2);
        assert.equal(error.why, why);
        assert.deepEqual(error.todo, ["$ npx tsx tasks/try.ts --help"]);
        return true;
      },
    );
  });
}
