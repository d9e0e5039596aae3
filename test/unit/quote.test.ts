import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import fc from "fast-check";
import { quoteWords } from "../../lib/proxmox/quote.ts";

const execute = promisify(execFile);

/** What a real shell makes of the words. */
async function throughShell(line: string): Promise<string[]> {
  const { stdout } = await execute("/bin/sh", ["-c", line], { encoding: "utf8" });
  return stdout.split("\0").slice(0, -1);
}

const NASTY = [
  "'",
  '"',
  "$( )",
  "`",
  "\\",
  "\n",
  " ",
  "*",
  "~",
  "!",
  "#",
  ";",
  "&",
  "|",
  "<",
  ">",
  "=",
  "é",
  "-n",
];

describe("quoteWords", () => {
  test("words pass a shell unchanged, whatever they contain", async () => {
    const text = fc.string({
      unit: fc.oneof(fc.constantFrom(...NASTY), fc.string({ minLength: 1, maxLength: 1 })),
    });
    const word = text.map((word) => word.replaceAll("\0", ""));
    await fc.assert(
      fc.asyncProperty(fc.array(word, { minLength: 1, maxLength: 6 }), async (words) => {
        assert.deepEqual(
          await throughShell(`printf '%s\\0' ${quoteWords(["printf", ...words]).slice(7)}`),
          words,
        );
      }),
      { numRuns: 200 },
    );
  });

  const cases: readonly (readonly [title: string, words: readonly string[], line: string])[] = [
    [
      "plain words are left readable",
      ["qm", "set", "100", "--ide2", "vmdata:cloudinit"],
      "qm set 100 --ide2 vmdata:cloudinit",
    ],
    ["an empty word stays a word", ["echo", ""], "echo ''"],
    ["a single quote is written between two strings", ["echo", "it's"], "echo 'it'\\''s'"],
    ["a tilde is no home", ["ls", "~"], "ls '~'"],
    ["a line break stays within its word", ["echo", "a\nb"], "echo 'a\nb'"],
    ["an assignment in front is a program's name", ["A=1", "B=2"], "'A=1' B=2"],
    ["no words are an empty line", [], ""],
  ];
  for (const [title, words, line] of cases) {
    test(title, () => assert.equal(quoteWords(words), line));
  }

  test("a NUL is refused: no argument can hold one", () => {
    assert.throws(() => quoteWords(["echo", "a\0b"]), /NUL/);
    assert.throws(() => quoteWords(["\0"]), /NUL/);
  });
});
