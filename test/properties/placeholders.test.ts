import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import {
  badPlaceholdersIn,
  configurationFiles,
  placeholdersIn,
  scanPlaceholders,
} from "../../lib/placeholders.ts";
import { ROOT } from "../../lib/task/index.ts";
import { notices, type Violations } from "../support/properties/mutation.ts";
import { RUNS, SEED } from "../support/properties/seed.ts";

/** Placeholders: the tree's own files, and generated ones, through the scanner that preflight uses. */

const dir = mkdtempSync(join(tmpdir(), "homelab-placeholders-"));
after(() => rmSync(dir, { recursive: true, force: true }));

const OWN = /(?:^|\/)\.env(?:\.(?!example)[^/]*)?$|\.tfvars$|\.pkrvars\.hcl$/;

/** How a value and a comment are written in a syntax. */
interface Syntax {
  readonly file: string;
  readonly value: (key: string, value: string, comment: string) => string;
  readonly comments: boolean;
}

const SYNTAXES: readonly Syntax[] = [
  {
    file: "k8s/a.yaml",
    value: (key, value, comment) => `  ${key}: ${value}${comment && ` # ${comment}`}`,
    comments: true,
  },
  {
    file: "k8s/list.yml",
    value: (_key, value, comment) => `  - "${value}"${comment && ` # ${comment}`}`,
    comments: true,
  },
  {
    file: "terraform/envs/x/main.tf",
    value: (key, value, comment) => `  ${key} = "${value}"${comment && ` # ${comment}`}`,
    comments: true,
  },
  {
    file: "terraform/globals.tfvars.example",
    value: (key, value, comment) => `${key} = "${value}"${comment && ` // ${comment}`}`,
    comments: true,
  },
  {
    file: "packer/x/a.pkr.hcl",
    value: (key, value, comment) => `  ${key} = "${value}"${comment && ` # ${comment}`}`,
    comments: true,
  },
  {
    file: ".env.example",
    value: (key, value, comment) => `${comment && `# ${comment} `}\n${key.toUpperCase()}=${value}`,
    comments: true,
  },
  { file: "renovate.json", value: (key, value) => `  "${key}": "${value}",`, comments: false },
];

const harmlessKey = fc.constantFrom("hostname", "repoURL", "gateway", "size", "user", "domain", "node");
const secretKey = fc.constantFrom("password", "adminPassword", "api_token", "client-secret", "passphrase");
const harmless = fc.oneof(
  fc.constantFrom(
    "10.23.45.1",
    "vmbr0",
    "https://example.org/a#b",
    "32G",
    "it's",
    "change",
    "exchange",
    "todos",
  ),
  fc.stringMatching(/^[a-z]{1,3}[0-9]{2,4}$/),
);
const harmlessComment = fc.constantFrom(
  "",
  "the router",
  "what you change here",
  "your own domain",
  "see <https://example.org>",
);
const good = fc.constantFrom(
  "CHANGEME",
  "TODO",
  "https://github.com/CHANGEME/homelab.git",
  "CHANGEME@pve!CHANGEME",
  "k3s-CHANGEME",
);
const bad = fc.constantFrom(
  "changeme",
  "ChangeMe",
  "CHANGE_ME",
  "change-me",
  "CHANGEME_NOW",
  "todo",
  "ToDo",
  "FIXME",
  "fix_me",
  "TBD",
  "REPLACE_ME",
  "replaceme",
  "FILL_IN",
  "INSERT_HERE",
  "your-token-here",
  "YOUR_PASSWORD",
  "yourdomain.example",
  "<GIT_REPO_URL>",
  "<token>",
  "placeholder",
  "xxxxxxxx",
  "***",
  "...",
);
const badComment = fc.constantFrom(
  "FIXME: the domain",
  "XXX",
  "todo: the port",
  "tbd",
  "change-me before use",
);

interface Entry {
  readonly kind:
    | "harmless"
    | "good"
    | "good comment"
    | "bad"
    | "bad comment"
    | "secret"
    | "secret placeholder";
  readonly key: string;
  readonly value: string;
  readonly comment: string;
}

const entry = (
  kind: Entry["kind"],
  key: fc.Arbitrary<string>,
  value: fc.Arbitrary<string>,
  comment: fc.Arbitrary<string> = harmlessComment,
): fc.Arbitrary<Entry> => fc.record({ kind: fc.constant(kind), key, value, comment });

const entries = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: entry("harmless", harmlessKey, harmless) },
    { weight: 2, arbitrary: entry("good", harmlessKey, good) },
    {
      weight: 1,
      arbitrary: entry("good comment", harmlessKey, harmless, fc.constant("TODO: once there is a router")),
    },
    { weight: 2, arbitrary: entry("bad", harmlessKey, bad) },
    { weight: 1, arbitrary: entry("bad comment", harmlessKey, harmless, badComment) },
    { weight: 1, arbitrary: entry("secret", secretKey, fc.stringMatching(/^[a-z]{3}[0-9]{3}[A-Z]{2}$/)) },
    {
      weight: 1,
      arbitrary: entry("secret placeholder", secretKey, fc.constantFrom("CHANGEME", "", "$PASSWORD")),
    },
  ),
  { minLength: 1, maxLength: 12 },
);
const generated = fc.record({ syntax: fc.constantFrom(...SYNTAXES), entries });

/** What the scanner must find in a generated file: the numbers of the lines. */
function expected({ syntax, entries: list }: { syntax: Syntax; entries: readonly Entry[] }): {
  text: string;
  good: number[];
  bad: number[];
} {
  const lines: string[] = [];
  const found = { good: [] as number[], bad: [] as number[] };
  for (const { kind, key, value, comment } of list) {
    const written = syntax.value(key, value, syntax.comments ? comment : "").split("\n");
    const first = lines.length + 1;
    lines.push(...written);
    const last = lines.length;
    if (kind === "good" || (kind === "secret placeholder" && value === "CHANGEME")) found.good.push(last);
    if (kind === "good comment" && syntax.comments) found.good.push(first);
    if (kind === "bad") found.bad.push(last);
    if (kind === "bad comment" && syntax.comments) found.bad.push(first);
    // A list has no keys, so nobody can tell.
    if (kind === "secret" && syntax.file !== "k8s/list.yml") found.bad.push(last);
  }
  return { text: `${lines.join("\n")}\n`, ...found };
}

test("Feature: homelab-infra, Property 9: Configuration file placeholder conventions", async () => {
  const scan = await scanPlaceholders(ROOT);
  // What somebody has not filled in yet in files of their own is no concern of ours.
  const files = scan.files.filter((file) => !OWN.test(file));
  const placeholders = scan.placeholders.filter(({ file }) => !OWN.test(file));
  assert.deepEqual(
    scan.bad.filter(({ file }) => !OWN.test(file)),
    [],
  );
  for (const file of [
    ".env.example",
    "terraform/globals.tfvars.example",
    "k8s/argo/app-of-apps.yaml",
    "packer/common.pkr.hcl",
  ])
    assert.ok(files.includes(file), `${file} was not looked at`);
  // Found in another way: no file is left out, and no line.
  const plainly = files.flatMap((file) =>
    readFileSync(join(ROOT, file), "utf8")
      .split("\n")
      .flatMap((line, at) => (/TODO|CHANGEME/.test(line) ? [`${file}:${at + 1}`] : [])),
  );
  assert.deepEqual(
    placeholders.map(({ file, line }) => `${file}:${line}`),
    plainly,
  );
  fc.assert(
    fc.property(generated, (each) => {
      const { text, good: right, bad: misspelt } = expected(each);
      const { file } = each.syntax;
      assert.deepEqual(
        placeholdersIn(file, text).map(({ line }) => line),
        right,
        text,
      );
      assert.deepEqual([...new Set(badPlaceholdersIn(file, text).map(({ line }) => line))], misspelt, text);
    }),
    { numRuns: 5 * RUNS, seed: SEED },
  );
});

/** Write placeholders of the tree another way, in a copy, and let the tree be scanned: every changed line must be found. */
async function rewritten(title: string, from: RegExp, to: string): Promise<Violations> {
  const root = join(dir, title.replace(/\W+/g, "-"));
  const changed: string[] = [];
  for (const file of await configurationFiles(ROOT)) {
    const before = readFileSync(join(ROOT, file), "utf8").split("\n");
    const after = before.map((line) => line.replaceAll(from, to));
    changed.push(...after.flatMap((line, at) => (line === before[at] ? [] : [`${file}:${at + 1}`])));
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), after.join("\n"));
  }
  assert.notDeepEqual(changed, []);
  const found = new Set((await scanPlaceholders(root)).bad.map(({ file, line }) => `${file}:${line}`));
  return changed.every((place) => found.has(place)) ? [...found] : [];
}

for (const [title, from, to] of [
  ["changeme in lower case", /CHANGEME/g, "changeme"],
  ["an address in angle brackets", /CHANGEME(?=$| #)/g, "<GIT_REPO_URL>"],
  ["REPLACE_ME instead", /CHANGEME/g, "REPLACE_ME"],
  ["FIXME instead of TODO", /TODO/g, "FIXME"],
] as const) {
  notices(9, title, async () => await rewritten(title, from, to));
}
