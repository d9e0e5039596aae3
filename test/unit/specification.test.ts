import assert from "node:assert/strict";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { ROOT } from "../../lib/task/index.ts";
import { faultsOf, type ReadFile, summaryOf } from "../support/specification/faults.ts";
import { readTables } from "../support/specification/rows.ts";
import { hasTitle, isTestFile } from "../support/specification/titles.ts";

/** docs/specification.md says of every requirement what does it and what proves it; this says whether that is so. */

const texts = new Map<string, string | undefined>();
const read: ReadFile = (path) => {
  const file = join(ROOT, path);
  if (!texts.has(path)) {
    const isFile = existsSync(file) && statSync(file).isFile();
    texts.set(path, isFile ? readFileSync(file, "utf8") : existsSync(file) ? "" : undefined);
  }
  return texts.get(path);
};
const page = read("docs/specification.md") ?? "";

test("every file and every test that the specification's table names is there", () => {
  assert.deepEqual(faultsOf(page, read), []);
});

test("every section of the specification has its table", () => {
  const sections = new Set(readTables(page).rows.map(({ number }) => number.split(".")[0]));
  assert.deepEqual(
    [...sections],
    Array.from({ length: sections.size }, (_, index) => `S-${index + 1}`),
  );
  assert.equal(page.match(/^## /gm)?.length, sections.size, "a heading for each");
});

describe("a page that is not true is found out", () => {
  const { rows } = readTables(page);
  const done = rows.find(({ state, proofs }) => state === "done" && proofs.length === 1);
  assert.ok(done);
  const lines = page.split("\n");
  const line = lines.find((each) => each.startsWith(`| ${done.number} |`)) ?? "";
  const [, number = "", requirement = "", does = "", proves = "", state = ""] = line
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim());
  const title = done.proofs[0]?.titles[0] ?? "";

  /** The page with one row in place of a good one. */
  const withRow = (cells: readonly string[]): string => page.replace(line, () => `| ${cells.join(" | ")} |`);
  const link = (cell: string, target: string): string => cell.replace(/\]\([^)]+\)/, `](${target})`);

  const broken: readonly (readonly [title: string, page: string, fault: RegExp])[] = [
    [
      "a file that does it is gone",
      withRow([number, requirement, link(does, "../lib/no-such-file.ts"), proves, state]),
      /no-such-file\.ts does not exist/,
    ],
    [
      "a test file is gone",
      withRow([number, requirement, does, link(proves, "../test/unit/no-such.test.ts"), state]),
      /no-such\.test\.ts does not exist/,
    ],
    [
      "a test has another title",
      withRow([number, requirement, does, proves.replace(title, `${title} indeed`), state]),
      / has no test ".* indeed"/,
    ],
    [
      "a proof is no test",
      withRow([number, requirement, does, link(proves, "../README.md"), state]),
      /README\.md is no test that is run/,
    ],
    [
      "a proof names a file alone",
      withRow([number, requirement, does, proves.replaceAll(/"[^"]+"/g, ""), state]),
      /no test of .* is named/,
    ],
    [
      "a title has no file",
      withRow([number, requirement, does, `"${title}"`, state]),
      /stands behind no link to a test/,
    ],
    ["a row has no proof", withRow([number, requirement, does, "–", state]), /nothing proves it/],
    ["a row has no file", withRow([number, requirement, "–", proves, state]), /nothing is said to do it/],
    [
      "what is done otherwise has no decision",
      withRow([number, requirement, does, proves, "differs"]),
      /no decision says what is done instead/,
    ],
    [
      "a decision is gone",
      withRow([number, requirement, does, proves, "differs: [99](decisions/0099-none.md)"]),
      /0099-none\.md does not exist/,
    ],
    [
      "what is planned is not said",
      withRow([number, requirement, does, "–", "planned"]),
      /nothing says what is planned/,
    ],
    [
      "how to check it on hardware is not said",
      withRow([number, requirement, does, proves, "hardware"]),
      /no command says how to check it/,
    ],
    [
      "a command for hardware is no script of ours",
      withRow([number, requirement, does, "`npm run no-such-task`", "hardware"]),
      /no script "no-such-task"/,
    ],
    [
      "a number is there twice",
      page.replace(line, () => `${line}\n${line}`),
      new RegExp(`${number} is there twice`),
    ],
    ["a row has no number", withRow(["S-1", requirement, does, proves, state]), /no row of the table's form/],
    ["a state is none", withRow([number, requirement, does, proves, "soon"]), /no row of the table's form/],
    ["a cell is missing", withRow([number, requirement, does, proves]), /no row of the table's form/],
    [
      "rows are missing",
      lines.filter((each) => !each.startsWith("| S-") || /^\| S-[12]\./.test(each)).join("\n"),
      /110 or more are needed/,
    ],
    ["the sum is wrong", lines.filter((each) => each !== line).join("\n"), /the page does not say "\*\*/],
  ];
  for (const [what, text, fault] of broken) {
    test(what, () => {
      assert.notEqual(text, page, "the page was broken");
      assert.match(faultsOf(text, read).join("\n"), fault);
    });
  }

  test("an empty page", () => {
    assert.match(faultsOf("", read).join("\n"), /0 rows/);
    assert.match(summaryOf([]), /^\*\*0 requirements: 0 done/);
  });
});

describe("a title is found", () => {
  // What the file puts in is meant here, not by this one.
  const hole = (inner: string): string => `$\{${inner}}`;
  const tests = [
    'test("a plain one", () => {});',
    `  test(\`with ${hole("what")} in it\`, () => {});`,
    `  test(\`with ${hole("nested({ a: `}` })")} and ${hole("another")}\`, () => {});`,
    'describe("a \\"quoted\\" one", () => {',
    "  await t.test(",
    '    "on a line of its own",',
    '// test("in a comment", () => {});',
    '/* \ntest("in a longer comment", () => {});\n*/',
    'test.skip("skipped", () => {});',
    'test.todo("still to be written");',
    'const called = "not a test";',
    'const given = ["apples", "pears"];',
  ].join("\n");
  const file = "test/unit/some.test.ts";
  const found = (title: string, text = tests, path = file): boolean => hasTitle(path, text, title);

  test("as it stands, in several forms", () => {
    for (const title of ["a plain one", 'a "quoted" one', "on a line of its own"])
      assert.ok(found(title), title);
    for (const title of ["a plain", "plain one", "a plain one more", "not a test"])
      assert.ok(!found(title), title);
  });

  test("with quotes in it, where the page has them behind a backslash", () => {
    const row = `| S-1.01 | a | [b](../b.ts) | [t](../test/unit/t.test.ts) "a \\"quoted\\" one", "b" | done |`;
    assert.deepEqual(readTables(row).rows[0]?.proofs[0]?.titles, ['a "quoted" one', "b"]);
  });

  test("with what is put in left open, or as the file has it", () => {
    for (const title of ["with … in it", "with apples in it", "with … and pears"])
      assert.ok(found(title), title);
    for (const title of ["with plums in it", "with … in", "…", "with it"]) assert.ok(!found(title), title);
  });

  test("not in comments, and not of tests that do not run", () => {
    for (const title of ["in a comment", "in a longer comment", "skipped", "still to be written"]) {
      assert.ok(!found(title), title);
    }
  });

  test("among the file's data where the whole title comes from there", () => {
    const text = `${tests}\nfor (const [what] of given) {\n  test(what, () => {});\n}`;
    assert.ok(found("apples", text));
    assert.ok(!found("apples"), "which is not so elsewhere");
    assert.ok(!found("plums", text));
  });

  test("behind the name of a constant", () => {
    const text = `const title = \`apples · ${hole("kind")} for ${hole("task")}\`;\n  test(title, () => {});\nconst kind = "green";`;
    for (const title of ["apples · … for …", "apples · green for …"]) assert.ok(found(title, text), title);
    for (const title of ["apples · red for …", "pears"]) assert.ok(!found(title, text), title);
  });

  test("in bats, goss and tofu's tests", () => {
    assert.ok(found("a step: fails", '@test "a step: fails" {\n', "test/scripts/lib.bats"));
    assert.ok(!found("a step", '@test "a step: fails" {\n', "test/scripts/lib.bats"));
    const goss =
      "file:\n  /etc/a-{{ .Vars.arch }}.conf: { exists: true }\ncommand:\n  the clock is UTC:\n    exec: x\n";
    for (const title of ["/etc/a-….conf", "the clock is UTC"])
      assert.ok(found(title, goss, "x/goss.yaml"), title);
    assert.ok(!found("exec", goss, "x/goss.yaml"));
    assert.ok(found("clones", 'run "clones" {\n', "terraform/m/tests/vm.tftest.hcl"));
    assert.ok(!found("clone", 'run "clones" {\n', "terraform/m/tests/vm.tftest.hcl"));
  });

  test("in files whose tests are run, and no others", () => {
    for (const path of ["test/unit/a.test.ts", "../test/properties/a.test.ts", "../test/scripts/a.bats"]) {
      assert.ok(isTestFile(path), path);
    }
    for (const path of ["test/support/a.ts", "test/fixtures/a.test.ts", "lib/a.ts", "docs/a.md"]) {
      assert.ok(!isTestFile(path), path);
    }
  });
});
