import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { ROOT } from "../../lib/task/index.ts";
import { IMAGE_DIRECTORY as TASKS_DIRECTORY } from "../../tasks/image-build/packer.ts";
import {
  IMAGE_DIRECTORY,
  pathViolations,
  referencesIn,
  repositoryTexts,
} from "../support/properties/image-path.ts";
import { changed, notices } from "../support/properties/mutation.ts";
import { RUNS, SEED } from "../support/properties/seed.ts";

const THIS = relative(ROOT, fileURLToPath(import.meta.url))
  .split(sep)
  .join("/");
/** This file has wrong paths in it on purpose. */
const texts = new Map([...repositoryTexts(ROOT)].filter(([file]) => file !== THIS));
const references = [...texts].flatMap(([file, text]) => referencesIn(file, text));
const withFolders = references.filter(({ folders }) => folders.endsWith("packer/"));

const WRONG = [
  "packer/alma9-k3s",
  "packer/alma-9-k3s-optimized",
  "packer/alma9_k3s_optimized",
  "packer/almalinux9-k3s-optimized",
  "packer/alma9-k3s-optimised",
  "packer/alma10-k3s-optimized",
  "images/alma9-k3s-optimized",
  "packer/images/alma9-k3s-optimized",
  "./alma9-k3s-optimized",
  "packers/alma9-k3s-optimized",
] as const;

/** One line of a configuration file or a script that names the directory. */
const generated = fc.record({
  path: fc.oneof(
    fc
      .constantFrom("", "./", "../../", "$ROOT/", "/srv/homelab/")
      .map((before) => ({ text: before + IMAGE_DIRECTORY, right: true })),
    fc.constantFrom(...WRONG).map((text) => ({ text, right: false })),
  ),
  line: fc.constantFrom(
    (path: string) => `cd ${path} && packer init .`,
    (path: string) => `source = "${path}/http"`,
    (path: string) => `  - path: ${path}/scripts/cleanup.sh`,
    (path: string) => `[the image](${path}/packer.pkr.hcl)`,
    (path: string) =>
      `const folder = join(root, ${path
        .split("/")
        .map((part) => JSON.stringify(part))
        .join(", ")});`,
  ),
  before: fc.array(fc.constantFrom("# a comment", "", "alma9-k3-node-amd64-v1.28.5-v1"), { maxLength: 5 }),
});

test("Feature: homelab-infra, Property 11: Image directory path consistency", () => {
  assert.deepEqual(pathViolations(texts), []);
  assert.ok(withFolders.length >= 5, `only ${withFolders.length} references were found`);
  assert.ok(existsSync(join(ROOT, IMAGE_DIRECTORY, "packer.pkr.hcl")));
  assert.equal(TASKS_DIRECTORY.split(sep).join("/"), IMAGE_DIRECTORY);
  fc.assert(
    fc.property(generated, ({ path, line, before }) => {
      const text = [...before, line(path.text)].join("\n");
      const found = pathViolations(new Map([["scripts/generated.sh", text]]));
      assert.deepEqual(
        found.map((each) => each.split(":")[1]),
        path.right ? [] : [String(before.length + 1)],
        text,
      );
    }),
    { numRuns: 3 * RUNS, seed: SEED },
  );
});

for (const [at, wrong] of WRONG.entries()) {
  notices(11, `${wrong} in place of one of the real references`, () => {
    // Another one each time: in a task, in a test's support, in a document.
    const { file = "", line = 0 } = withFolders[(at * 7) % withFolders.length] ?? {};
    const lines = (texts.get(file) ?? "").replace(/"packer", "/g, '"packer/').split("\n");
    lines[line - 1] = changed((lines[line - 1] ?? "").replaceAll("\\/", "/"), IMAGE_DIRECTORY, wrong);
    return pathViolations(new Map([[file, lines.join("\n")]]));
  });
}
