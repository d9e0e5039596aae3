import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT } from "../../lib/task/index.ts";

interface Locked {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly engines?: { readonly node?: string };
}

const read = (file: string): string => readFileSync(join(ROOT, file), "utf8");
const text = read("package-lock.json");
const { packages } = JSON.parse(text) as { packages: Readonly<Record<string, Locked>> };

/** Where Node finds a package: beside the one that wants it, or further up. */
function found(from: string, name: string): boolean {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf("node_modules/") - 1))) {
    if (`${folder === "" ? "" : `${folder}/`}node_modules/${name}` in packages) return true;
    if (folder === "") return false;
  }
}

test("package-lock.json holds no download addresses: everybody's own registry is asked", () => {
  assert.doesNotMatch(text, /"resolved"|https?:\/\/[^"]*\.tgz/);
  assert.match(read(".npmrc"), /^omit-lockfile-registry-resolved=true$/m);
});

test("package-lock.json has every package with its checksum", () => {
  for (const [path, { version, integrity }] of Object.entries(packages)) {
    if (path === "") continue;
    assert.ok(version, path);
    assert.match(integrity ?? "", /^sha512-/, path);
  }
});

test("package-lock.json is whole: what a package needs is locked, the other platforms' packages too", () => {
  for (const [path, { dependencies, optionalDependencies }] of Object.entries(packages)) {
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      assert.ok(found(path, name), `${path || "package.json"} needs ${name}`);
    }
  }
});

test("package-lock.json is of this package.json", () => {
  const { dependencies, devDependencies, engines } = JSON.parse(read("package.json")) as Locked;
  const { "": root } = packages;
  assert.deepEqual(
    [root?.dependencies, root?.devDependencies, root?.engines],
    [dependencies, devDependencies, engines],
  );
});
