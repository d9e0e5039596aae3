import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, describe, test } from "node:test";
import {
  declaredObjects,
  dockerfiles,
  isChartFile,
  isRendered,
  kustomizationRoots,
  notObjects,
  partFiles,
  shellScripts,
  treeFiles,
  yamlFiles,
  yamllint,
} from "../../lib/lint/index.ts";
import { definitionsFor, strictSchema } from "../../lib/lint/json-schema.ts";
import { packerDirectories, withoutPlugin } from "../../lib/packer/index.ts";
import { childEnv, run } from "../../lib/process.ts";
import { ROOT } from "../../lib/task/index.ts";

/** What the linters and schema checks look at, and how Kubernetes' own description becomes strict schemas. */

const base = mkdtempSync(join(tmpdir(), "homelab-lint-"));
after(() => rmSync(base, { recursive: true, force: true }));

let trees = 0;
function treeOf(files: Readonly<Record<string, string>>): string {
  trees += 1;
  const root = join(base, String(trees));
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), text);
  }
  return root;
}

describe("the files of the tree", () => {
  const FILES = {
    "a.sh": "",
    "b/run": "#!/usr/bin/env bash\n",
    "b/other": "#!/usr/bin/env node\n",
    "b/busy": "#!/usr/lib/busybox sh\n",
    LICENSE: "a dash - of sh\n",
    "c.bats": "",
    "d.yml": "",
    "d.yaml": "",
    Dockerfile: "",
    "x/web.Dockerfile": "",
    "x/Dockerfile.arm": "",
    "x/dockerfile.md": "",
    "node_modules/p/e.sh": "",
    "k8s/charts/f.yaml": "",
    "ignored.sh": "",
  };

  test("are all but links, and what is known to be others' where there is no Git", async () => {
    const root = treeOf(FILES);
    symlinkSync("a.sh", join(root, "link.sh"));
    const files = await treeFiles(root);
    const without = ["node_modules/p/e.sh", "k8s/charts/f.yaml"];
    assert.deepEqual(
      files,
      Object.keys(FILES)
        .filter((file) => !without.includes(file))
        .sort(),
    );
  });

  test("are what Git has and would take, without what is gone", async () => {
    const root = treeOf({ ...FILES, ".gitignore": "node_modules\nignored.sh\nk8s/charts\n" });
    const git = async (...args: string[]): Promise<unknown> =>
      run("git", args, { cwd: root, env: childEnv() });
    await git("init", "--quiet");
    await git("add", "a.sh", "c.bats", "d.yml");
    rmSync(join(root, "c.bats"));
    const files = await treeFiles(root);
    for (const there of ["a.sh", "d.yml", "b/run", ".gitignore"]) assert.ok(files.includes(there), there);
    for (const none of ["c.bats", "ignored.sh", "node_modules/p/e.sh", "k8s/charts/f.yaml"]) {
      assert.ok(!files.includes(none), none);
    }
  });

  test("are told apart by name and first line", async () => {
    const root = treeOf(FILES);
    const files = await treeFiles(root);
    const scripts = await shellScripts(root, files);
    assert.deepEqual(scripts.sort(), ["a.sh", "b/busy", "b/run", "c.bats", "ignored.sh"]);
    assert.deepEqual(yamlFiles(files), ["d.yaml", "d.yml"]);
    assert.deepEqual(dockerfiles(files), ["Dockerfile", "x/Dockerfile.arm", "x/web.Dockerfile"]);
  });
});

describe("kustomizations", () => {
  test("that nothing else includes are roots; components and what cannot be read are told apart", async () => {
    const root = treeOf({
      "k8s/a/kustomization.yaml": "resources: [part, file.yaml]\ncomponents: [../shared]\n",
      "k8s/a/part/kustomization.yaml": "resources: []\n",
      "k8s/b/part/kustomization.yaml":
        "kind: Kustomization\nhelmCharts: [{ name: web, repo: https://x, version: 1.0.0 }]\n",
      "k8s/shared/kustomization.yaml": "kind: Component\n",
      "k8s/broken/kustomization.yaml": "resources: [\n",
      "other/kustomization.yaml": "resources: []\n",
    });
    const roots = await kustomizationRoots(root, await treeFiles(root));
    assert.deepEqual(
      roots.map(({ name, path, charts }) => [name, path, charts.length]),
      [
        ["a", "k8s/a", 0],
        ["part", "k8s/b/part", 1],
        ["broken", "k8s/broken", 0],
      ],
    );
  });

  test("of the same name are told apart by what stands before it", async () => {
    const root = treeOf({
      "k8s/one/apps/kustomization.yaml": "resources: []\n",
      "k8s/two/apps/kustomization.yaml": "resources: []\n",
    });
    const names = (await kustomizationRoots(root, await treeFiles(root))).map(({ name }) => name);
    assert.deepEqual(names, ["one-apps", "two-apps"]);
  });
});

test("a field is found in the manifest that declares it, or what is nearest around it", () => {
  const text = [
    "# first",
    "apiVersion: v1",
    "kind: ConfigMap",
    "metadata:",
    "  name: one",
    "---",
    "apiVersion: apps/v1",
    "kind: Deployment",
    "metadata:",
    "  name: two",
    "spec:",
    "  template:",
    "    spec:",
    "      containers:",
    "        - name: a",
    "        - name: b",
    "          imag: x",
    "---",
    "just: values",
  ].join("\n");
  const [one, two, ...more] = declaredObjects([
    { file: "m.yaml", text },
    { file: "broken.yaml", text: "a: [" },
  ]);
  assert.deepEqual([one?.kind, one?.name, one?.lineOf(["metadata", "name"])], ["ConfigMap", "one", 5]);
  assert.equal(two?.lineOf(["spec", "template", "spec", "containers", "1", "imag"]), 17);
  assert.equal(two?.lineOf(["spec", "template", "nothing"]), 12);
  assert.equal(two?.lineOf([]), 7);
  assert.deepEqual(more, []);
});

test("documents that are no objects are told with their line, and what they lack", () => {
  const file = (name: string, ...lines: string[]) => ({ file: name, text: lines.join("\n") });
  assert.deepEqual(
    notObjects([
      file("good.yaml", "apiVersion: v1", "kind: ConfigMap", "metadata: { name: a }", "---", "# a comment"),
      file("list.yaml", "apiVersion: v1", "kind: List", "items: []"),
      file("empty.yaml", ""),
      file("version.yaml", "---", "kind: ConfigMap", "metadata:", "  name: a", "data: {}"),
      file("all.yaml", "apiVersion: v1", "kind: A", "metadata: { name: a }", "---", "size: 1"),
      file("name.yaml", "apiVersion: v1", "kind: ConfigMap", "metadata: {}"),
      file("number.yaml", "apiVersion: 1", "kind: ConfigMap", "metadata: { name: a }"),
      file("sequence.yaml", "- a"),
      file("broken.yaml", "a: 1", "b: [", ""),
    ]).map((line) => line.replace(/(not YAML: ).*/, "$1…")),
    [
      "version.yaml:2  no object of Kubernetes: apiVersion missing",
      "all.yaml:5  no object of Kubernetes: apiVersion and kind and metadata.name missing",
      "name.yaml:1  no object of Kubernetes: metadata.name missing",
      "number.yaml:1  no object of Kubernetes: apiVersion missing",
      "sequence.yaml:1  no object of Kubernetes: apiVersion and kind and metadata.name missing",
      "broken.yaml:3  this is not YAML: …",
    ],
  );
});

test("an object is rendered where version, kind, name and, if it is written, namespace are the same", () => {
  const object = (apiVersion: string, metadata: string): string =>
    `metadata: ${metadata}\nkind: Role\napiVersion: ${apiVersion}\n`;
  const declared = declaredObjects([
    { file: "same.yaml", text: object("a/v1", '{ namespace: one, "name": "x" }') },
    { file: "filled.yaml", text: object("a/v1", "{ name: x }") },
    { file: "elsewhere.yaml", text: object("a/v1", "{ namespace: two, name: x }") },
    { file: "version.yaml", text: object("b/v1", "{ namespace: one, name: x }") },
    { file: "name.yaml", text: object("a/v1", "{ namespace: one, name: y }") },
  ]);
  const rendered = isRendered(declared, [object("a/v1", "{ labels: { name: y }, name: x, namespace: one }")]);
  assert.deepEqual(
    [...rendered].map(({ file }) => file),
    ["same.yaml", "filled.yaml"],
  );
});

test("what kustomizations use as something else than objects, and what belongs to charts, is known", async () => {
  const root = treeOf({
    "k8s/a/kustomization.yaml": [
      "patches: [{ path: patch.yaml }, { patch: inline }]",
      "replacements: [{ path: ../replace.yaml }]",
      "configurations: [names.yaml]",
      "configMapGenerator: [{ name: x, files: [plain.yaml, key=data.yaml], envs: [e.yaml] }]",
      "helmCharts: [{ name: c, valuesFile: own.yaml, additionalValuesFiles: [more.yaml] }]",
    ].join("\n"),
  });
  const parts = ["patch", "../replace", "names", "plain", "data", "e", "own", "more"];
  assert.deepEqual(
    (await partFiles(root, await treeFiles(root))).sort(),
    parts.map((name) => join("k8s/a", `${name}.yaml`)).sort(),
  );
  const files = ["k8s/own/Chart.yaml", "k8s/own/templates/x.yaml", "k8s/owned.yaml", "k8s/values-home.yaml"];
  assert.deepEqual(
    files.filter((file) => isChartFile(file, files)),
    files.filter((file) => file !== "k8s/owned.yaml"),
  );
});

test("a yamllint that ends with an error and says nothing of files has not done its work", async () => {
  const root = treeOf({ crash: "#!/bin/sh\necho 'Traceback: no module' >&2\nexit 1\n" });
  const program = join(root, "crash");
  chmodSync(program, 0o755);
  await assert.rejects(
    yamllint(["a.yaml"], { program, cwd: root }),
    /did not say where: Traceback: no module/,
  );
});

describe("strict schemas", () => {
  test("close objects, let null stand for nothing, and keep names that look like keywords", () => {
    const schema = strictSchema({
      description: "prose",
      type: "object",
      required: ["description"],
      properties: {
        description: { type: "string", description: "prose", enum: ["a"] },
        port: { "x-kubernetes-int-or-string": true },
        labels: { type: "object", additionalProperties: { type: "string" } },
        open: {
          type: "object",
          properties: { a: { type: "integer" } },
          "x-kubernetes-preserve-unknown-fields": true,
        },
        list: { type: "array", items: { $ref: "#/definitions/Part" } },
      },
    });
    assert.deepEqual(schema, {
      type: ["object", "null"],
      required: ["description"],
      properties: {
        description: { type: ["string", "null"], enum: ["a", null] },
        port: { oneOf: [{ type: "integer" }, { type: "string" }, { type: "null" }] },
        labels: { type: ["object", "null"], additionalProperties: { type: ["string", "null"] } },
        open: { type: ["object", "null"], properties: { a: { type: ["integer", "null"] } } },
        list: { type: ["array", "null"], items: { $ref: "#/definitions/Part" } },
      },
      additionalProperties: false,
    });
  });

  test("take along the definitions they need, those that need themselves too", () => {
    const all = {
      A: { properties: { b: { $ref: "#/definitions/B" } } },
      B: { items: [{ $ref: "#/definitions/C" }] },
      C: { properties: { a: { $ref: "#/definitions/A" } } },
      D: {},
    };
    assert.deepEqual(definitionsFor({ $ref: "#/definitions/A" }, all), ["A", "B", "C"]);
  });
});

describe("Packer's folders", () => {
  test("are those with a source, each with the plugins it names", async () => {
    const found = await packerDirectories(ROOT);
    assert.deepEqual(
      found.map(({ path, plugins }) => [path, plugins]),
      [
        ["packer/alma9-k3s-optimized", ["proxmox"]],
        ["packer/alma9-k3s-optimized/qemu", ["qemu"]],
      ],
    );
    assert.deepEqual(await packerDirectories(treeOf({ "a.txt": "" })), []);
  });

  test("can be looked at without their plugin: the source is Packer's own null builder then", async () => {
    const folder = mkdtempSync(join(base, "copy-"));
    const copy = await withoutPlugin(join(ROOT, "packer/alma9-k3s-optimized"), folder);
    const text = readFileSync(join(copy, "packer.pkr.hcl"), "utf8");
    assert.match(text, /^source "null" "image" \{\n {2}communicator = "none"\n\}$/m);
    assert.match(text, /"source\.null\.image"/);
    assert.doesNotMatch(text, /required_plugins|proxmox-iso/);
    assert.match(readFileSync(join(copy, "common.pkr.hcl"), "utf8"), /^build \{$/m);
  });
});
