import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import * as v from "valibot";
import { type Check, selectChecks } from "../../lib/check/index.ts";
import { UsageError } from "../../lib/errors.ts";
import { run } from "../../lib/process.ts";
import { ROOT } from "../../lib/task/index.ts";
import { ARGUMENTS, type Argument } from "../support/injection/arguments.ts";
import { hostileValues, VALUES_EACH } from "../support/injection/values.ts";
import { REPEAT } from "../support/properties/seed.ts";
import { WorkingCopy } from "../support/working-copy.ts";

/** Every argument of every command, tried with values that want to be more: refused with a message, or a value. */

const copy = new WorkingCopy();
const cwd = mkdtempSync(join(tmpdir(), "homelab-arguments-"));
after(() => {
  copy.remove();
  rmSync(cwd, { recursive: true, force: true });
});

const EndedSchema = v.array(v.object({ code: v.number(), stdout: v.string(), stderr: v.string() }));
type Ended = v.InferOutput<typeof EndedSchema>[number];

/** So many where an answer takes long. */
const FEW = 60;

/** Settings of a node that nobody reaches: nothing listens there. */
const SETTINGS = {
  PM_API_URL: "https://127.0.0.1:1/api2/json",
  PM_API_TOKEN_ID: "homelab@pve!tasks",
  PM_API_TOKEN_SECRET: "00000000-0000-0000-0000-000000000000",
  GIT_REPO_URL: "https://example.org/homelab.git",
};

async function runAll(lines: readonly { task: string; words: readonly string[] }[]): Promise<Ended[]> {
  const driver = join(ROOT, "test", "support", "injection", "command-lines.ts");
  const { stdout } = await run(
    process.execPath,
    ["--import", import.meta.resolve("tsx"), driver, copy.root],
    {
      cwd,
      env: copy.env({ ...SETTINGS, SSH_PUBLIC_KEY_FILE: join(copy.home, "key.pub"), CI: "true" }),
      input: JSON.stringify(lines),
    },
  );
  return v.parse(EndedSchema, JSON.parse(stdout));
}

/** No argument has a NUL in it, and half a surrogate pair is no text; an empty one is wrong usage by itself. */
function valuesFor(example: string, salt: number): string[] {
  return hostileValues(example, 2000 + salt, VALUES_EACH + 300)
    .filter((value) => !/[\0\p{Cs}]/u.test(value))
    .slice(0, VALUES_EACH);
}

interface Attempt {
  readonly argument: Argument;
  readonly value: string;
}

const ATTEMPTS: readonly Attempt[] = ARGUMENTS.flatMap((argument, salt) =>
  valuesFor(argument.example, salt)
    .slice(0, argument.slow ? FEW : VALUES_EACH)
    .map((value) => ({ argument, value })),
);

/** What came of a command's attempts, all in one process. */
const outcomes = new Map<string, Promise<readonly (Attempt & Ended)[]>>();
async function outcomesOf(task: string): Promise<readonly (Attempt & Ended)[]> {
  const known = outcomes.get(task);
  if (known !== undefined) return await known;
  const attempts = ATTEMPTS.filter(({ argument }) => argument.task === task);
  const made = runAll(attempts.map(({ argument, value }) => ({ task, words: argument.words(value) }))).then(
    (all) =>
      attempts.flatMap((attempt, at) => {
        const ended = all[at];
        return ended === undefined ? [] : [{ ...attempt, ...ended }];
      }),
  );
  outcomes.set(task, made);
  return await made;
}

before(() => {
  mkdirSync(copy.home, { recursive: true });
  writeFileSync(join(copy.home, "key.pub"), "ssh-ed25519 AAAA ann@laptop\n");
});

test("every argument that takes a text is in the list", async () => {
  const { stdout } = await run(process.execPath, [
    ...["--import", import.meta.resolve("tsx")],
    join(ROOT, "test", "support", "print-help.ts"),
  ]);
  const helps = v.parse(v.record(v.string(), v.string()), JSON.parse(stdout));
  const there = Object.entries(helps).flatMap(([task, help]) => {
    const positionals = /^Arguments\n((?: {2}.*\n)+)/m.exec(help)?.[1] ?? "";
    return [
      ...[...positionals.matchAll(/^ {2}(\S+)/gm)].map(([, name]) => `${task} ${name}`),
      ...[...help.matchAll(/^ {2}(--[\w-]+) \S.*? {2,}/gm)].map(([, name]) => `${task} ${name}`),
    ].filter((each) => !each.endsWith(" --env"));
  });
  const listed = ARGUMENTS.map(({ task, name }) => `${task} ${name}`).filter(
    (each) => !each.endsWith(" --env"),
  );
  assert.deepEqual(there.toSorted(), listed.toSorted());
});

describe("a value of", () => {
  for (const argument of ARGUMENTS) {
    test(`${argument.name} of ${argument.task} is refused with a message, or a value and no more`, async (t) => {
      const all = (await outcomesOf(argument.task)).filter((outcome) => outcome.argument === argument);
      assert.equal(all.length, argument.slow ? FEW : VALUES_EACH);
      const faults = all.flatMap(({ value, code, stdout, stderr }) => {
        const wrong =
          /This is a bug|[^\P{Cc}\n\t]/u.test(stdout + stderr) ||
          ![0, 1, 2].includes(code) ||
          (code !== 0 && !/^✖ \S/m.test(stderr));
        return wrong ? [{ value: value.slice(0, 200), code, said: (stdout + stderr).slice(0, 800) }] : [];
      });
      assert.deepEqual(faults.slice(0, 3), [], `${faults.length} of ${all.length} ${REPEAT}`);
      const taken = all.filter(({ code }) => code === 0).length;
      t.diagnostic(`${taken} of ${all.length} were taken`);
      assert.deepEqual(readdirSync(cwd), [], "nothing was made where it ran");
    });
  }
});

test("a name of a check that there is none of is refused, whatever it is", () => {
  const checks: readonly Check[] = [
    { name: "tofu/k3s-single", title: "tofu", needs: [], run: async () => [] },
  ];
  for (const value of valuesFor("no/such", 30)) {
    for (const selection of [
      { only: [value], skip: [] },
      { only: [], skip: [`${value}x`] },
    ])
      assert.throws(() => selectChecks(checks, selection), UsageError, REPEAT);
  }
});

test("pve-init's names come out of the commands to paste as they went in", async () => {
  const taken = (await outcomesOf("pve-init")).filter(
    ({ argument, code }) => code === 0 && /--(?:user|token|role-prefix)/.test(argument.name),
  );
  assert.ok(taken.length > 3);
  const scripts = taken.map(({ stdout }) => `${stdout}\nprintf '\\0'`);
  const script = `pveum() { printf '%s\\n' "$@"; }\n${scripts.join("\n")}`;
  const { stdout } = await run("/bin/sh", ["-s"], { input: `${script}\n` });
  const words = stdout.split("\0");
  for (const [at, { value, argument }] of taken.entries())
    assert.ok(
      words[at]
        ?.split("\n")
        .some((word) => (argument.name === "--role-prefix" ? word.startsWith(value) : word === value)),
      `${argument.name} ${value}`,
    );
});
