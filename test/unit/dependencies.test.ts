import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as v from "valibot";
import { ROOT } from "../../lib/task/index.ts";

/** What comes in with npm: under which licence, and from where. */

const LockSchema = v.object({
  packages: v.record(
    v.string(),
    v.object({
      version: v.optional(v.string()),
      license: v.optional(v.string()),
      integrity: v.optional(v.string()),
      dev: v.optional(v.boolean(), false),
      optional: v.optional(v.boolean(), false),
      link: v.optional(v.boolean(), false),
    }),
  ),
});
const ManifestSchema = v.object({
  license: v.optional(v.string()),
  licenses: v.optional(v.array(v.object({ type: v.string() }))),
});

/** Licences that may be used and passed on with an MIT licensed project, without conditions on its own code. */
const FINE = new Set([
  "0BSD",
  "Apache-2.0",
  "BSD-2-Clause",
  "BSD-3-Clause",
  "BlueOak-1.0.0",
  "ISC",
  "MIT",
  "MIT OR Apache-2.0",
  "Python-2.0",
  "Unlicense",
]);

const { packages } = v.parse(
  v.pipe(v.string(), v.parseJson(), LockSchema),
  readFileSync(join(ROOT, "package-lock.json"), "utf8"),
);

/** The lock file's word, or the package's own: old ones write it in another way. */
function licenceOf(path: string, licence: string | undefined): string | undefined {
  if (licence !== undefined) return licence;
  const manifest = join(ROOT, path, "package.json");
  if (!existsSync(manifest)) return undefined;
  const parsed = v.parse(v.pipe(v.string(), v.parseJson(), ManifestSchema), readFileSync(manifest, "utf8"));
  return parsed.license ?? parsed.licenses?.map(({ type }) => type).join(" OR ");
}

type Packages = v.InferOutput<typeof LockSchema>["packages"];

function doubtful(all: Packages): string[] {
  return Object.entries(all).flatMap(([path, { license, optional }]) => {
    if (path === "") return [];
    const licence = licenceOf(path, license);
    // What only another platform installs is not here to be asked, and its main package has said it.
    if (licence === undefined && optional && !existsSync(join(ROOT, path))) return [];
    return licence !== undefined && FINE.has(licence) ? [] : [`${path}: ${licence ?? "none"}`];
  });
}

function unpinned(all: Packages): string[] {
  return Object.entries(all).flatMap(([path, { integrity, link }]) =>
    path === "" || link || /^sha512-/.test(integrity ?? "") ? [] : [path],
  );
}

test("every package has a licence that is known to be fine, and its checksum", () => {
  assert.ok(Object.keys(packages).length > 30);
  assert.deepEqual(doubtful(packages), []);
  assert.deepEqual(unpinned(packages), []);
});

test("a package without a licence, with one that asks for more, or without a checksum is found", () => {
  const one = { version: "1.0.0", dev: false, optional: false, link: false };
  const wrong = {
    "node_modules/none": { ...one, integrity: "sha512-AA" },
    "node_modules/copyleft": { ...one, license: "GPL-3.0-only", integrity: "sha1-AA" },
    "node_modules/fine": { ...one, license: "MIT", integrity: "sha512-AA" },
  };
  assert.deepEqual(doubtful(wrong), ["node_modules/none: none", "node_modules/copyleft: GPL-3.0-only"]);
  assert.deepEqual(unpinned(wrong), ["node_modules/copyleft"]);
});
