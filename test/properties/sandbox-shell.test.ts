import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { quoteWords } from "../../lib/proxmox/quote.ts";
import { parseCli } from "../../lib/sandbox/node/cli.ts";
import { parseCommandLine } from "../../lib/sandbox/shell/index.ts";

/** Words with everything that a shell gives a meaning to; no argument holds a NUL. */
const word = fc
  .array(fc.oneof(fc.string({ unit: "grapheme" }), fc.constantFrom(..."'\"\\$`;|&<>(){}*?~#! \t\n=")))
  .map((parts) => parts.join("").replaceAll("\0", ""));

describe("the sandbox's small shell", () => {
  test("takes every word that our SSH client quotes as it was", () => {
    fc.assert(
      fc.property(fc.array(word, { minLength: 1 }), (words) => {
        const [pipeline, ...more] = parseCommandLine(quoteWords(words));
        assert.deepEqual(more, []);
        assert.deepEqual(pipeline?.commands, [{ words, redirects: [] }]);
      }),
      { numRuns: 500 },
    );
  });

  test("never takes for a word what would be more than a word", () => {
    fc.assert(
      fc.property(fc.constantFrom("$X", "$(x)", "`x`", "(x)", '"$X"', '"`x`"'), word, (text, tail) => {
        assert.throws(() => parseCommandLine(`echo ${text} ${quoteWords([tail])}`), {
          name: "ShellSyntaxError",
        });
      }),
    );
  });
});

describe("a PVE tool's command line", () => {
  const option = fc.stringMatching(/^[a-z][a-z0-9-]{0,10}$/);
  const value = fc.string().filter((text) => !/^--?[a-zA-Z]/.test(text));

  test("means the same whether a value follows its option or an equals sign", () => {
    fc.assert(
      fc.property(fc.dictionary(option, value), fc.constantFrom("-", "--"), (options, dash) => {
        const entries = Object.entries(options);
        const read = (args: string[]) => parseCli(["100", ...args], { positionals: 1, known: () => true });
        const expected = { positionals: ["100"], options: { ...options } };
        assert.deepEqual(read(entries.flatMap(([name, text]) => [`${dash}${name}`, text])), expected);
        assert.deepEqual(read(entries.map(([name, text]) => `${dash}${name}=${text}`)), expected);
      }),
    );
  });
});
