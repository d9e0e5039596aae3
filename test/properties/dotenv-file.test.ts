import assert from "node:assert/strict";
import {
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { parse } from "dotenv";
import fc from "fast-check";
import { withSettings } from "../../lib/config/dotenv-file.ts";
import { SETTING_NAMES, type SettingName, saveToDotenv, specOf } from "../../lib/config/index.ts";
import { UsageError } from "../../lib/errors.ts";

const dir = mkdtempSync(join(tmpdir(), "homelab-dotenv-"));
after(() => rmSync(dir, { recursive: true, force: true }));

/** Letters that have a meaning somewhere: in .env, in shells, in JavaScript. */
const awkward = fc.string({
  unit: fc.oneof(
    fc.constantFrom(..."'\"`#$\\= \tnr{}!;&|~*é漢\u2028"),
    fc.string({ unit: "binary", maxLength: 1 }),
  ),
  maxLength: 40,
});

/** Texts that a setting's own parser takes, trimmed as every reader of settings does. */
function valuesOf(name: SettingName): fc.Arbitrary<string> {
  const { example, parse: check } = specOf(name);
  const grown = fc.tuple(fc.constant(example), awkward).map(([head, tail]) => `${head}${tail}`);
  return fc
    .oneof(fc.constant(example), grown, awkward)
    .map((text) => text.trim())
    .filter((text) => {
      try {
        check(text);
        return text !== "";
      } catch {
        return false;
      }
    });
}

/** Files that must be there to be named are no business of this test. */
const FILES = ["PM_TLS_CA", "PM_SSH_CONFIG", "SSH_PUBLIC_KEY_FILE"];
const settings = fc
  .constantFrom(...SETTING_NAMES.filter((name) => !FILES.includes(name)))
  .chain((name) => fc.tuple(fc.constant(name), valuesOf(name)));

/** A line or two of a .env as people write them, and as they should not. */
const lines = fc.oneof(
  fc.constantFrom(
    "# a comment",
    "",
    "   ",
    "EDITOR=vi",
    "export PAGER='less -R' # paged",
    'MULTI="one\nPM_NODE=not a setting\nthree"',
    "KEY: value",
    "OPEN='no end",
    "no assignment at all",
    "PM_NODE=",
    "PM_NODE = 'old' # the node",
    "PM_STORAGE=#comment",
    "#PM_BRIDGE=vmbr0",
  ),
  settings.map(([name, value]) => `${name}=${value.replace(/\s/g, "")}`),
);
const files = fc
  .tuple(fc.array(lines, { maxLength: 8 }), fc.constantFrom("\n", "\r\n"), fc.boolean())
  .map(
    ([all, newline, ended]) =>
      all.join("\n").replaceAll("\n", newline) + (ended && all.length > 0 ? newline : ""),
  );

/** The file with a setting set, or undefined where that is refused. */
async function written(text: string, values: Record<string, string>): Promise<string | undefined> {
  return await withSettings(text, values).catch((error: unknown) => {
    assert.ok(error instanceof UsageError, String(error));
    return undefined;
  });
}

test("what is saved is read back exactly, with everything else in the file, or it is refused", async () => {
  let taken = 0;
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(files, settings, async (text, [name, value]) => {
      const changed = await written(text, { [name]: value });
      if (changed === undefined) {
        refused += 1;
        return;
      }
      taken += 1;
      assert.deepEqual({ ...parse(changed) }, { ...parse(text), [name]: value });
    }),
    { numRuns: 1_000 },
  );
  assert.ok(taken > 10 * refused, `${refused} of ${taken + refused} were refused`);
});

test("every line but the setting's own stays as it is, and where it is", async () => {
  await fc.assert(
    fc.asyncProperty(files, settings, async (text, [name, value]) => {
      const changed = await written(text, { [name]: value });
      if (changed === undefined) return;
      // What both begin with, and what both end with, is all but one assignment.
      let start = 0;
      while (start < text.length && text[start] === changed[start]) start += 1;
      let end = 0;
      while (end < text.length - start && text.at(-1 - end) === changed.at(-1 - end)) end += 1;
      const gone = text.slice(start, text.length - end);
      const appended = gone === "";
      const itself = new RegExp(`^[ \\t]*(export[ \\t]+)?${name}[ \\t]*=`, "m");
      assert.ok(
        appended || itself.test(text),
        `${JSON.stringify(gone)} is gone from ${JSON.stringify(text)}`,
      );
      assert.ok(!/(^|\n)[ \t]*#/.test(gone), "no comment line is gone");
    }),
    { numRuns: 1_000 },
  );
});

test("setting the same again changes nothing", async () => {
  await fc.assert(
    fc.asyncProperty(files, settings, async (text, [name, value]) => {
      const once = await written(text, { [name]: value });
      if (once !== undefined) assert.equal(await written(once, { [name]: value }), once);
    }),
  );
});

test("values that no quotes of dotenv hold are refused, and the others of their kind are not", async () => {
  const hold = async (value: string): Promise<boolean> =>
    (await written("", { TF_STATE_PASSPHRASE: value })) !== undefined;
  for (const value of [
    'it\'s a #1 "pass" word',
    "back\\nslash 'n' twice",
    "$(reboot) $HOME `id` {}",
    "two\nlines of it all",
  ])
    assert.equal(await hold(value), true, value);
  assert.equal(await hold("'single' \"double\" `back` # all"), false);
});

describe("the file", () => {
  test("is made for its owner alone, and a wider one is narrowed", async () => {
    const file = join(dir, ".env");
    await saveToDotenv(file, { PM_NODE: "pve2" });
    assert.equal(readFileSync(file, "utf8"), "PM_NODE=pve2\n");
    assert.equal(statSync(file).mode & 0o777, 0o600);
    writeFileSync(join(dir, ".env.wide"), "# mine\n", { mode: 0o666 });
    await saveToDotenv(join(dir, ".env.wide"), { PM_NODE: "pve2" });
    assert.equal(readFileSync(join(dir, ".env.wide"), "utf8"), "# mine\nPM_NODE=pve2\n");
    assert.equal(statSync(join(dir, ".env.wide")).mode & 0o777, 0o600);
    assert.deepEqual(
      readdirSync(dir).filter((name) => name.endsWith(".tmp")),
      [],
    );
  });

  test("behind a symbolic link is changed, and the link stays", async () => {
    writeFileSync(join(dir, "elsewhere"), "A=1\n");
    symlinkSync(join(dir, "elsewhere"), join(dir, ".env.link"));
    await saveToDotenv(join(dir, ".env.link"), { PM_NODE: "pve3" });
    assert.ok(lstatSync(join(dir, ".env.link")).isSymbolicLink());
    assert.equal(readFileSync(join(dir, "elsewhere"), "utf8"), "A=1\nPM_NODE=pve3\n");
  });

  test("that cannot be written is as it was, and nothing lies beside it", async () => {
    const folder = join(dir, "a-folder");
    await assert.rejects(saveToDotenv(join(folder, ".env"), { PM_NODE: "pve" }), (error: unknown) => {
      assert.ok(error instanceof UsageError);
      assert.match(error.what, /cannot be written/);
      return true;
    });
    const file = join(dir, ".env.refused");
    writeFileSync(file, "A=1\n");
    await assert.rejects(saveToDotenv(file, { TF_STATE_PASSPHRASE: "'single' \"double\" `back` # all" }));
    assert.equal(readFileSync(file, "utf8"), "A=1\n");
  });
});
