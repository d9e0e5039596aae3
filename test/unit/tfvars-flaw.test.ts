import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { tfvarsFlaw } from "../../lib/config/index.ts";
import { ROOT } from "../../lib/task/index.ts";

test("what OpenTofu can parse has no flaw", () => {
  for (const file of [
    "terraform/globals.tfvars.example",
    "terraform/envs/k3s-single/terraform.tfvars.example",
  ]) {
    assert.equal(tfvarsFlaw(readFileSync(join(ROOT, file), "utf8")), undefined, file);
  }
  const text = [
    '# a comment with a " quote',
    'a = "x # y \\" z" // said',
    "b = -1.5 /* over",
    "lines [ */",
    "c = [",
    '  "one", { d = true, "e" : null },',
    "  # ]",
    "]",
    "f = <<-END",
    '  anything [ " goes',
    "  END",
    "g = {}",
    "",
  ];
  assert.equal(tfvarsFlaw(text.join("\n")), undefined);
  assert.equal(tfvarsFlaw(text.join("\r\n")), undefined);
  assert.equal(tfvarsFlaw(""), undefined);
});

test("what it cannot parse is told with its line", () => {
  for (const [text, line, words] of [
    ['a = 1\nb = "x\n', 2, /quote/],
    ["a = [1,\n2\n", 1, /bracket is not closed/],
    ["a = 1]\n", 1, /\] closes nothing/],
    ["a = [1)\n", 1, /\) closes nothing/],
    ["a = 1\nnonsense here\n", 2, /assigns no value/],
    ["a =\nb = 1\n", 1, /assigns no value/],
    ["a = # nothing\n", 1, /assigns no value/],
    ['{ "a": 1 }', 1, /assigns no value/],
  ] as const) {
    const flaw = tfvarsFlaw(text);
    assert.equal(flaw?.line, line, text);
    assert.match(flaw?.words ?? "", words);
  }
});
