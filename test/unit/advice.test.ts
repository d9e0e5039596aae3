import assert from "node:assert/strict";
import { test } from "node:test";
import { ROOT } from "../../lib/task/index.ts";
import { readModules } from "../support/architecture.ts";

/** Every failure that a person can meet says what to do now. */

/** Those that need no advice, or get it where they are caught; each by its file and the beginning of its `what`. */
const WITHOUT: Readonly<Record<string, string>> = {
  'tasks/tf-apply.ts "Not applied: the answer was no"': "the person has decided",
  'tasks/tf-destroy.ts "Not destroyed: what was typed is not the environment\'s name"':
    "the person has decided",
  "tasks/upload-image.ts failed": "whoever catches it adds the way by hand",
  "lib/vm/boot.ts `SSH to ${user}@${address} does not answer`": "whoever catches it adds where the logs are",
  "lib/check/run.ts title": "its findings are told in its place",
};

interface Thrown {
  /** "FILE WHAT" */
  readonly name: string;
  readonly advises: boolean;
}

/** The failures that a module makes, read from its text. */
function failuresIn(file: string, text: string): Thrown[] {
  return [...text.matchAll(/\bnew (?:TaskError|UsageError)\((?=\{)/g)].map((match) => {
    const body = balanced(text, match.index + match[0].length);
    const [, what = ""] = /\bwhat: ("[^"\n]*"|`[^`]*`|[^,}\n]+)/.exec(body) ?? [];
    return { name: `${file} ${what.trim()}`, advises: /\btodo\b/.test(body) };
  });
}

/** Advice that may be left out, by the parameter of a helper: whoever calls it then says nothing of what to do. */
function optionalAdvice(file: string, text: string): string[] {
  const parameters = text.matchAll(/^.*\((?:[^()]*, )?(todo(?:\?:[^,)]*|[^,)=]* = \[\]))/gm);
  return [...parameters].map(([, parameter = ""]) => `${file} ${parameter}`);
}

/** Lines of advice that are indented: what stands under what is the renderer's business, and machines read them too. */
function indented(file: string, text: string): string[] {
  return [...text.matchAll(/\b(?:todo|fix): \[/g)].flatMap((match) => {
    const lines = upTo("]", text.slice(match.index + match[0].length)).matchAll(
      /^\s*(["`])( +[^\s"`].*?)\1/gm,
    );
    return [...lines].map(([, , line = ""]) => `${file}${line}`);
  });
}

/** The beginning of a text, up to a line that only closes what it was in. */
function upTo(bracket: string, text: string): string {
  const end = text.search(new RegExp(`^\\s*\\${bracket}|\\${bracket},?$`, "m"));
  return end < 0 ? text : text.slice(0, end);
}

/** What stands between a brace and the one that closes it. */
function balanced(text: string, start: number): string {
  let depth = 0;
  for (let at = start; at < text.length; at += 1) {
    if (text[at] === "{") depth += 1;
    if (text[at] === "}" && --depth === 0) return text.slice(start, at + 1);
  }
  return text.slice(start);
}

const modules = [...readModules(ROOT, ["lib", "tasks"])].filter(
  // The sandbox's own errors are a node's: its words are those of the real one.
  ([file]) => !file.startsWith("lib/sandbox/"),
);

test("Makefile Target Failures · Provide clear error messages with resolution steps", () => {
  const thrown = modules.flatMap(([file, text]) => failuresIn(file, text));
  assert.ok(thrown.length > 100, `only ${thrown.length} were found`);
  const without = thrown.filter(({ advises }) => !advises).map(({ name }) => name);
  assert.deepEqual(without.sort(), Object.keys(WITHOUT).sort());
});

test("a helper that makes failures cannot be called without advice", () => {
  assert.deepEqual(
    modules.flatMap(([file, text]) => optionalAdvice(file, text)),
    [],
  );
});

test("a helper that may be called without advice is found", () => {
  const text = [
    "  const refuse = (why: string, todo: readonly string[] = []): TaskError =>",
    "function refusal(todo?: readonly string[]): TaskError {",
    "  const told = (todo = []) => todo;",
    "  const fine = (why: string, todo: readonly string[]): TaskError =>",
  ].join("\n");
  assert.deepEqual(optionalAdvice("x.ts", text), [
    "x.ts todo: readonly string[] = []",
    "x.ts todo?: readonly string[]",
    "x.ts todo = []",
  ]);
});

test("advice carries no layout", () => {
  assert.deepEqual(
    modules.flatMap(([file, text]) => indented(file, text)),
    [],
  );
  const text =
    'x({\n  todo: [\n    "Set it:",\n    `  NAME=value`,\n  ],\n  why: "  no",\n});\nfix: ["  a"],';
  assert.deepEqual(indented("x.ts", text), ["x.ts  NAME=value", "x.ts  a"]);
});

test("a failure without advice is found", () => {
  const text =
    'throw new TaskError({\n  what: name,\n  why: "it did",\n});\nnew UsageError({ what: "b", todo: [] })';
  assert.deepEqual(failuresIn("lib/x.ts", text), [
    { name: "lib/x.ts name", advises: false },
    { name: 'lib/x.ts "b"', advises: true },
  ]);
});
