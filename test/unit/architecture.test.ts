import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ROOT } from "../../lib/task/index.ts";
import {
  cycles,
  deadExports,
  type Exception,
  importsPastIndex,
  type Modules,
  printing,
  readModules,
  upwardImports,
} from "../support/architecture.ts";

/** tasks/ knows the order, lib/ knows how: imports point one way, folders of lib are entered by their index. */

const code = readModules(ROOT, ["lib", "tasks", "bench"]);
const withTests = readModules(ROOT, ["lib", "tasks", "bench", "test"]);

const SIMULATED = "`process` is the simulated shell's there, given to each of its programs";
const PRINTING: readonly Exception[] = [
  ...["process.stdout", "process.stderr", "process.exit"].flatMap((what) => [
    { where: "lib/task/main.ts", what, reason: "the one place that touches the process" },
    { where: "lib/sandbox/main.ts", what, reason: "the sandbox's own process starts here" },
  ]),
  { where: "lib/task/execute.ts", what: "process.stderr", reason: "hands progress to the reporters" },
  { where: "lib/task/run.ts", what: "process.stderr", reason: "tells listr2 where to draw" },
  { where: "lib/task/ask.ts", what: "process.stderr", reason: "looks whether there is a terminal to ask on" },
  { where: "lib/prompt.ts", what: "process.stderr", reason: "the one file that asks people" },
  { where: "lib/sandbox/node/", what: "process.stdout", reason: SIMULATED },
  { where: "lib/sandbox/node/", what: "process.stderr", reason: SIMULATED },
  { where: "lib/sandbox/shell/", what: "process.stdout", reason: SIMULATED },
  { where: "lib/sandbox/guest/", what: "process.stdout", reason: SIMULATED },
];

const STEPS = "the task's steps, for another task to compose";
const SETTINGS = "the settings that the task's steps need, for whoever composes them";
const UNUSED: readonly Exception[] = [
  { where: "tasks/clean.ts", what: "cleanSteps", reason: STEPS },
  { where: "tasks/k8s-diff.ts", what: "diffSteps", reason: STEPS },
  { where: "tasks/preflight.ts", what: "preflightChecks", reason: STEPS },
  { where: "tasks/deploy.ts", what: "DEPLOY_USES", reason: SETTINGS },
  { where: "tasks/status.ts", what: "STATUS_REQUIRES", reason: SETTINGS },
  { where: "tasks/status.ts", what: "STATUS_USES", reason: SETTINGS },
  {
    where: "tasks/tf-plan.ts",
    what: "planData",
    reason: "a plan's part of a result, for a task that ends with one",
  },
];

test("lib imports nothing but lib", () => {
  assert.deepEqual(upwardImports(code), []);
});

test("a folder of lib is entered by its index", () => {
  assert.deepEqual(importsPastIndex(code), []);
});

test("folders of lib do not need each other in a circle", () => {
  assert.deepEqual(cycles(code), []);
});

test("lib does not print and does not end the process", () => {
  assert.deepEqual(printing(code, PRINTING), []);
});

test("temporary folders are made where they are swept up after a kill", () => {
  const makers = [...code]
    .filter(([name, text]) => !name.startsWith("bench/") && /\bmkdtemp(Sync)?\(/.test(text))
    .map(([name]) => name);
  assert.deepEqual(makers, ["lib/temporary.ts"]);
});

test("what a file gives out is taken by another one", () => {
  assert.deepEqual(deadExports(withTests, UNUSED), []);
});

describe("each rule finds what breaks it", () => {
  const modules = (files: Readonly<Record<string, string>>): Modules => new Map(Object.entries(files));

  for (const line of [
    'import { steps } from "../../tasks/a.ts";',
    'import type { Steps } from "../../tasks/a.ts";',
    'export { steps } from "../../tasks/a.ts";',
    'const { steps } = await import("../../tasks/a.ts");',
    'let steps: import("../../tasks/a.ts").Steps;',
    'import {\n  one,\n  two,\n} from "../../tasks/a.ts";',
    'import "../../tasks/a.ts";',
  ]) {
    test(`lib importing tasks: ${line.replaceAll("\n", " ")}`, () => {
      assert.deepEqual(upwardImports(modules({ "lib/x/y.ts": line })), [
        'lib/x/y.ts imports "../../tasks/a.ts"',
      ]);
    });
  }

  test("comments import nothing", () => {
    const text = '/* import { a } from "../../tasks/a.ts"; */\n// see import("../../tasks/a.ts")\n';
    assert.deepEqual(upwardImports(modules({ "lib/x/y.ts": text })), []);
  });

  test("past an index: of another folder, of a folder in it, and from a file directly in lib", () => {
    const files = {
      "lib/a/one.ts": 'import { two } from "../b/two.ts";\n',
      "lib/a/two.ts": 'import { three } from "./inner/three.ts";\nimport { deep } from "./inner/index.ts";\n',
      "lib/a/inner/index.ts": 'export { four } from "../one.ts";\n',
      "lib/a/inner/three.ts": "",
      "lib/b/index.ts": 'export { x } from "./two.ts";\nimport { y } from "../single.ts";\n',
      "lib/single.ts": 'import type { Two } from "./b/two.ts";\n',
      "tasks/t.ts": 'await import("../lib/a/inner/index.ts");\n',
    };
    assert.deepEqual(importsPastIndex(modules(files)), [
      'lib/a/one.ts imports "../b/two.ts", past lib/b/index.ts',
      'lib/a/two.ts imports "./inner/three.ts", past lib/a/inner/index.ts',
      'lib/single.ts imports "./b/two.ts", past lib/b/index.ts',
      'tasks/t.ts imports "../lib/a/inner/index.ts", past lib/a/index.ts',
    ]);
  });

  test("a circle, of types alone too, with the imports that close it", () => {
    const files = {
      "lib/a/index.ts": 'import { b } from "../b/index.ts";\n',
      "lib/b/index.ts": 'import type { C } from "../c.ts";\n',
      "lib/c.ts": 'const a = await import("./a/index.ts");\n',
      "lib/d/index.ts": 'import { a } from "../a/index.ts";\n',
    };
    assert.deepEqual(cycles(modules(files)), [
      [
        "a → b → c.ts → a",
        'lib/a/index.ts imports "../b/index.ts"',
        'lib/b/index.ts imports "../c.ts"',
        'lib/c.ts imports "./a/index.ts"',
      ].join("\n  "),
    ]);
  });

  test("printing, ending the process, and an exception for nothing", () => {
    const files = {
      "lib/a.ts": "process.exit(1);\nprocess.exitCode = 1; // console.log\n",
      "lib/b/c.ts": "console.error(1);\nprocess.stdout.write(2);\n",
      "tasks/t.ts": "console.log(1);\n",
    };
    const exceptions = [
      { where: "lib/b/", what: "process.stdout", reason: "a try" },
      { where: "lib/a.ts", what: "process.stderr", reason: "none" },
    ];
    assert.deepEqual(printing(modules(files), exceptions), [
      "lib/a.ts uses process.exit",
      "lib/b/c.ts uses console.error",
      "the exception for process.stderr in lib/a.ts is not needed any more",
    ]);
  });

  test("what nobody takes: directly, through an index, and what an index gives in vain", () => {
    const files = {
      "lib/a/index.ts": 'export { used, vain as empty } from "./one.ts";\nexport * from "./two.ts";\n',
      "lib/a/one.ts":
        "export const used = 1;\nexport function vain() {}\nexport async function own() {}\nown();\nexport type T = 1;\n",
      "lib/a/two.ts": "export class Star {}\nexport const dark = 1;\n",
      "lib/c.ts": "export const word = 1;\nexport const other = 1;\n",
      "tasks/t.ts":
        'import { Star, used as mine } from "../lib/a/index.ts";\nconst { word } = await import("../lib/c.ts");\n',
    };
    assert.deepEqual(deadExports(modules(files), []), [
      "lib/a/index.ts exports empty, which no other file uses",
      "lib/a/one.ts exports vain, which no other file uses",
      "lib/a/one.ts exports own, which no other file uses",
      "lib/a/two.ts exports dark, which no other file uses",
      "lib/c.ts exports other, which no other file uses",
    ]);
  });
});
