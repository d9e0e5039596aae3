import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { after, beforeEach, describe, test } from "node:test";
import { TaskError } from "../../lib/errors.ts";
import {
  ensureTool,
  locateTool,
  packerPlugins,
  providerMirror,
  TOOL_GROUPS,
  TOOL_NAMES,
  ToolCache,
  type ToolName,
} from "../../lib/toolchain/index.ts";
import { RECIPES } from "../../lib/toolchain/recipes.ts";
import {
  currentPlatform,
  formatVersion,
  type Recipe,
  type Version,
  versionIn,
} from "../../lib/toolchain/tool.ts";
import { basicPrograms, fakeGo, writeProgram } from "../support/programs.ts";

const base = mkdtempSync(join(tmpdir(), "homelab-toolchain-"));
const basics = basicPrograms(base);
const { PATH: usualPath, HOMELAB_TOOLS: usualLimit } = process.env;
after(() => {
  restore("PATH", usualPath);
  restore("HOMELAB_TOOLS", usualLimit);
  rmSync(base, { recursive: true, force: true });
});

let cache: ToolCache;
let bin: string;
beforeEach(() => {
  const folder = mkdtempSync(join(base, "t-"));
  cache = new ToolCache(join(folder, "cache"));
  bin = join(folder, "bin");
  restore("PATH", `${bin}:${basics}`);
  restore("HOMELAB_TOOLS", undefined);
});

function restore(name: string, value: string | undefined): void {
  if (value === undefined) delete process.env[name];
  else process.env[name] = value;
}

const onPath = {
  program: "fancy",
  args: ["version"],
  fits: ({ major, minor }: Version) => major === 1 && minor >= 2,
  fitting: "1.2 or newer",
};
const builds = {
  module: "homelab.invalid/tool",
  version: "v1.2.3",
  from: { package: "." },
  coldSeconds: 1,
};
const recipe: Recipe = {
  version: "1.2.3",
  about: "a tool of the tests",
  onPath,
  release: () => undefined,
  build: builds,
};

for (const [text, version] of [
  ["OpenTofu v1.12.6\non linux_amd64", "1.12.6"],
  ["Client Version: v1.35.4\nKustomize Version: v5.7.1", "1.35.4"],
  ["v3.22.0+g1234567", "3.22.0"],
  ["{Version:kustomize/v5.8.2 GitCommit:abc}", "5.8.2"],
  ["v3.22", "3.22.0"],
  ["1.12.6-dev", "1.12.6"],
] as const) {
  test(`"${text.split("\n")[0]}" tells version ${version}`, () => {
    const found = versionIn(text);
    assert.ok(found);
    assert.equal(formatVersion(found), version);
  });
}

for (const text of ["(devel)", "development", "", "build 7"]) {
  test(`"${text}" tells no version`, () => assert.equal(versionIn(text), undefined));
}

test("a tool on PATH is taken when its version fits", async () => {
  const path = writeProgram(bin, "fancy", "echo fancy v1.4.0");
  assert.deepEqual(await locateTool("kwok", { cache, recipe }), {
    name: "kwok",
    version: "1.4.0",
    path,
    source: "path",
  });
});

for (const [why, script] of [
  ["is too old", "echo fancy v1.1.9"],
  ["is another major version", "echo fancy v2.5.0"],
  ["cannot be parsed", "echo fancy development build"],
  ["is not told", "exit 3"],
] as const) {
  test(`a tool on PATH is left alone when its version ${why}`, async () => {
    writeProgram(bin, "fancy", script);
    assert.equal(await locateTool("kwok", { cache, recipe }), undefined);
  });
}

test("a program is asked for its version once, and again when it has changed", async () => {
  // It is a program, not a script, and prints its argument.
  const program = join(bin, "fancy");
  mkdirSync(bin, { recursive: true });
  copyFileSync("/bin/echo", program);
  const asking = { cache, recipe: { ...recipe, onPath: { ...onPath, args: ["v1.4.0"] } } };
  assert.equal((await locateTool("kwok", asking))?.version, "1.4.0");
  const memory = join(cache.dir, "versions.json");
  writeFileSync(memory, readFileSync(memory, "utf8").replace("1.4.0", "1.9.0"));
  assert.equal((await locateTool("kwok", asking))?.version, "1.9.0", "remembered");
  utimesSync(program, 1, 1);
  assert.equal((await locateTool("kwok", asking))?.version, "1.4.0", "asked again");
});

test("a version manager's stand-in is asked each time: it stays the same when the version changes", async () => {
  const version = join(bin, "version");
  writeProgram(bin, "fancy", `cat ${version}`);
  for (const text of ["1.4.0", "1.5.0"]) {
    writeFileSync(version, text);
    assert.equal((await locateTool("kwok", { cache, recipe }))?.version, text);
  }
});

test("a program that gave no answer is asked again", async () => {
  const ready = join(bin, "ready");
  writeProgram(bin, "fancy", `[ -e ${ready} ] && echo 1.4.0`);
  assert.equal(await locateTool("kwok", { cache, recipe }), undefined);
  writeFileSync(ready, "");
  assert.equal((await locateTool("kwok", { cache, recipe }))?.version, "1.4.0");
});

test("several tools can be looked for at the same time", async () => {
  mkdirSync(bin, { recursive: true });
  const names = ["one", "two", "three", "four"];
  for (const name of names) copyFileSync("/bin/echo", join(bin, name));
  const found = await Promise.all(
    names.map((program) =>
      locateTool("kwok", { cache, recipe: { ...recipe, onPath: { ...onPath, program, args: ["1.4.0"] } } }),
    ),
  );
  assert.deepEqual(
    found.map((tool) => tool?.version),
    names.map(() => "1.4.0"),
  );
  const memory = JSON.parse(readFileSync(join(cache.dir, "versions.json"), "utf8")) as object;
  assert.equal(Object.keys(memory).length, names.length);
});

test("HOMELAB_TOOLS without path leaves PATH alone", async () => {
  writeProgram(bin, "fancy", "echo 1.4.0");
  restore("HOMELAB_TOOLS", "download, build");
  assert.equal(await locateTool("kwok", { cache, recipe }), undefined);
});

test("HOMELAB_TOOLS=path gets nothing elsewhere, and says so", async () => {
  restore("HOMELAB_TOOLS", "path");
  await assert.rejects(ensureTool("kwok", { cache, recipe }), (error: unknown) => {
    assert(error instanceof TaskError);
    assert.match(error.why ?? "", /HOMELAB_TOOLS/);
    return true;
  });
});

test("a tool that is not to be had is an error that says why, and what to do", async () => {
  const { os, arch } = currentPlatform();
  await assert.rejects(ensureTool("kwok", { cache, recipe }), (error: unknown) => {
    assert(error instanceof TaskError);
    assert.equal(error.what, `kwok 1.2.3 (a tool of the tests) is not to be had for ${os}/${arch}`);
    assert.equal(error.why, "Build: Go is not on PATH, so it cannot be built either");
    assert.deepEqual(error.todo, [
      "Install it yourself: any fancy 1.2 or newer on PATH is taken",
      "Or let this machine reach the release's host, or install Go 1.26 so that it can be built",
      "$ npm run setup",
    ]);
    return true;
  });
});

test("a tool without a build says that it cannot be built, and asks for no Go", async () => {
  process.env.PATH = `${fakeGo(bin)}:${process.env.PATH}`;
  const { build: _, ...released } = recipe;
  await assert.rejects(ensureTool("packer-plugin-proxmox", { cache, recipe: released }), (error: unknown) => {
    assert(error instanceof TaskError);
    assert.equal(error.why, "Build: it cannot be built, there is only the release");
    assert.equal(error.todo?.[1], "Or let this machine reach the release's host: it cannot be built");
    return true;
  });
});

test("every tool belongs to the tests' group but those that cannot be built", () => {
  assert.deepEqual(
    TOOL_NAMES.filter((name) => (RECIPES[name].build ?? RECIPES[name].python) === undefined),
    TOOL_NAMES.filter((name) => !(TOOL_GROUPS.test as readonly ToolName[]).includes(name)),
  );
});

describe("a tool that is a Python package", () => {
  const packaged = (): Recipe => {
    const { build: _, onPath: __, ...rest } = recipe;
    return { ...rest, python: { packages: ["fancy==1.2.3", "plain==4.5.6"], program: "fancy" } };
  };

  /** A python3 that makes environments and installs into them what pip is asked for; it notes how it was called. */
  const fakePython = (pip = 'printf \'#!/bin/sh\\necho packaged\\n\' >"$(dirname "$0")/fancy"'): string =>
    writeProgram(
      bin,
      "python3",
      `echo "$*" >>'${join(bin, "python.log")}'
case "$2" in
  venv) mkdir -p "$3/bin" && cp "$0" "$3/bin/python3" ;;
  pip) ${pip} && chmod +x "$(dirname "$0")/fancy" ;;
esac`,
    );

  test("is installed into an environment of its own, exactly the packages that are named", async () => {
    fakePython();
    process.env.PATH = `${bin}:/usr/bin:/bin:${process.env.PATH}`;
    const tool = await ensureTool("yamllint", { cache, recipe: packaged() });
    assert.deepEqual({ ...tool, path: "" }, { name: "yamllint", version: "1.2.3", path: "", source: "pip" });
    assert.match(readFileSync(tool.path, "utf8"), /packaged/);
    assert.ok(tool.path.endsWith("/bin/fancy"));
    const [, install = ""] = readFileSync(join(bin, "python.log"), "utf8").trim().split("\n");
    assert.match(install, /^-m pip install .*--no-deps --only-binary=:all: fancy==1\.2\.3 plain==4\.5\.6$/);
    assert.equal((await locateTool("yamllint", { cache, recipe: packaged() }))?.path, tool.path);
  });

  test("is got again when the Python it was made with is gone", async () => {
    fakePython();
    process.env.PATH = `${bin}:/usr/bin:/bin:${process.env.PATH}`;
    const { path } = await ensureTool("yamllint", { cache, recipe: packaged() });
    rmSync(join(dirname(path), "python3"));
    assert.equal(await locateTool("yamllint", { cache, recipe: packaged() }), undefined);
    assert.equal((await ensureTool("yamllint", { cache, recipe: packaged() })).path, path);
  });

  test("does not count when pip fails, and says why and what to do", async () => {
    fakePython("{ echo 'No matching distribution found for fancy==1.2.3' >&2; exit 1; }");
    process.env.PATH = `${bin}:/usr/bin:/bin:${process.env.PATH}`;
    await assert.rejects(ensureTool("yamllint", { cache, recipe: packaged() }), (error: unknown) => {
      assert(error instanceof TaskError);
      assert.equal(
        error.why,
        "Python package: pip install failed: No matching distribution found for fancy==1.2.3",
      );
      assert.match(error.todo.join("\n"), /Install Python 3 with its venv module|pip reach a package index/);
      return true;
    });
    assert.equal(await locateTool("yamllint", { cache, recipe: packaged() }), undefined);
  });

  test("needs Python, and says so", async () => {
    await assert.rejects(ensureTool("yamllint", { cache, recipe: packaged() }), /python3 is not on PATH/);
  });
});

test("a Go that is too old is named with the version that is needed", async () => {
  writeProgram(bin, "go", "echo go version go1.22.1 linux/amd64");
  await assert.rejects(
    ensureTool("kwok", { cache, recipe }),
    /Go 1\.26 or newer is needed to build it, this is go version go1\.22\.1/,
  );
});

test("a built tool is kept in the cache, with a card that tells its version and source", async () => {
  process.env.PATH = `${fakeGo(bin)}:${process.env.PATH}`;
  const tool = await ensureTool("kwok", { cache, recipe });
  assert.deepEqual({ ...tool, path: "" }, { name: "kwok", version: "1.2.3", path: "", source: "build" });
  assert.match(readFileSync(tool.path, "utf8"), /echo built/);
  assert.deepEqual(cards(), [{ version: "1.2.3", source: "build", file: "kwok" }]);
  assert.deepEqual(readdirSync(join(cache.dir, "work")), []);
  process.env.PATH = bin;
  assert.deepEqual(await locateTool("kwok", { cache, recipe }), tool);
});

for (const [damage, harm] of [
  ["its program is gone", (path: string) => rmSync(path)],
  ["its card is gone", (path: string) => rmSync(join(dirname(path), "tool.json"))],
  ["its card is torn", (path: string) => writeFileSync(join(dirname(path), "tool.json"), '{"version": "1.')],
] as const) {
  test(`a tool is got again when ${damage}`, async () => {
    process.env.PATH = `${fakeGo(bin)}:${process.env.PATH}`;
    const { path } = await ensureTool("kwok", { cache, recipe });
    harm(path);
    assert.equal(await locateTool("kwok", { cache, recipe }), undefined);
    await ensureTool("kwok", { cache, recipe });
    assert.match(readFileSync(path, "utf8"), /echo built/);
    assert.equal(cards().length, 1);
  });
}

test("the build is for this machine and takes nothing from the user's Go settings", async () => {
  process.env.PATH = `${fakeGo(bin)}:${process.env.PATH}`;
  const seen = join(bin, "seen");
  const go = join(bin, "go-bin", "go");
  writeFileSync(go, readFileSync(go, "utf8").replace("case", `env >${seen}\ncase`));
  Object.assign(process.env, { GOOS: "plan9", GOFLAGS: "-mod=vendor", GOWORK: "/nowhere" });
  try {
    await ensureTool("kwok", { cache, recipe });
  } finally {
    for (const name of ["GOOS", "GOFLAGS", "GOWORK"]) delete process.env[name];
  }
  const lines = readFileSync(seen, "utf8").split("\n");
  const { os, arch } = currentPlatform();
  for (const line of [`GOOS=${os}`, `GOARCH=${arch}`, "GOFLAGS=-buildvcs=false", "GOWORK=off"]) {
    assert.ok(lines.includes(line), line);
  }
});

test("a tool for another CPU is built for it, and kept beside this machine's own", async () => {
  process.env.PATH = `${fakeGo(bin)}:${process.env.PATH}`;
  const go = join(bin, "go-bin", "go");
  const seen = join(bin, "seen");
  writeFileSync(go, readFileSync(go, "utf8").replace("build)", `build) echo "$GOOS/$GOARCH" >>${seen};`));
  const forGuests: Recipe = { ...recipe, os: "linux" };
  const paths: string[] = [];
  for (const arch of ["amd64", "arm64", "arm64"] as const) {
    paths.push((await ensureTool("goss", { cache, recipe: forGuests, arch })).path);
  }
  assert.deepEqual(
    paths.map((path) => basename(dirname(path))),
    ["1.2.3-linux-amd64", "1.2.3-linux-arm64", "1.2.3-linux-arm64"],
  );
  assert.equal(readFileSync(seen, "utf8"), "linux/amd64\nlinux/arm64\n");
});

test("a build of an older version than the release says which it is", async () => {
  process.env.PATH = `${fakeGo(bin)}:${process.env.PATH}`;
  const older: Recipe = { ...recipe, build: { ...builds, version: "v1.0.9" } };
  assert.equal((await ensureTool("kwok", { cache, recipe: older })).version, "1.0.9");
  assert.equal((await locateTool("kwok", { cache, recipe: older }))?.version, "1.0.9");
});

test("what killed processes left in the work folder is removed, even if it is read-only", async () => {
  process.env.PATH = `${fakeGo(bin)}:${process.env.PATH}`;
  const left = join(cache.dir, "work", "kwok.4194999.1", "source", "package");
  mkdirSync(left, { recursive: true });
  writeFileSync(join(left, "main.go"), "package main\n");
  chmodSync(left, 0o555);
  const mine = join(cache.dir, "work", `helm.${process.pid}.1`);
  mkdirSync(mine);
  await ensureTool("kwok", { cache, recipe });
  assert.deepEqual(readdirSync(join(cache.dir, "work")), [basename(mine)]);
});

test("OpenTofu's mirror holds the provider under its own name, also when several ask at once", async () => {
  process.env.PATH = `${fakeGo(bin)}:${process.env.PATH}`;
  const mirrors = await Promise.all([1, 2, 3].map(async () => await providerMirror({ cache, recipe })));
  const [mirror] = mirrors;
  assert.ok(mirror);
  for (const other of mirrors) assert.deepEqual(other, mirror);
  const { os, arch } = currentPlatform();
  const files = filesIn(mirror.dir);
  assert.deepEqual(
    files.map((file) => file.replace(/^[^/]+\/bpg/, "bpg")),
    [`bpg/proxmox/1.2.3/${os}_${arch}/terraform-provider-proxmox_v1.2.3`, "tofu.rc"],
  );
  assert.match(readFileSync(join(mirror.dir, files[0] ?? ""), "utf8"), /echo built/);
  const config = readFileSync(mirror.cliConfigFile, "utf8");
  assert.match(config, new RegExp(`path += "${mirror.dir}"`));
  const [, source] = /include = \["(.*)"\]/.exec(config) ?? [];
  assert.ok(config.includes(`exclude = ["${source}"]`), "no other way to the same provider");
  assert.ok(files[0]?.startsWith(`${source}/`));
});

test("nothing ever lies beside the provider: OpenTofu would take it for a part of the provider", async () => {
  process.env.PATH = `${fakeGo(bin)}:${process.env.PATH}`;
  const { dir } = await providerMirror({ cache, recipe });
  const program = filesIn(dir).find((file) => file.includes("bpg")) ?? assert.fail("no provider");
  const folder = dirname(join(dir, program));
  // As if it had been put there by copying: it is put there anew.
  const copy = join(dir, "copy");
  copyFileSync(join(dir, program), copy);
  rmSync(join(dir, program));
  copyFileSync(copy, join(dir, program));
  rmSync(copy);
  const seen = new Set<string>();
  let placed = false;
  const all = Promise.all(Array.from({ length: 20 }, () => providerMirror({ cache, recipe }))).then(() => {
    placed = true;
  });
  while (!placed) {
    for (const file of readdirSync(folder)) seen.add(file);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await all;
  assert.deepEqual([...seen], [basename(program)]);
});

test("OpenTofu's mirror takes a released provider as the archive it is", async () => {
  const { work } = await cache.workDir("provider-proxmox");
  const file = join(work, "provider.zip");
  writeFileSync(file, "zip");
  await cache.install("provider-proxmox", recipe, currentPlatform(), { work, file, source: "download" });
  const { dir } = await providerMirror({ cache, recipe });
  const { os, arch } = currentPlatform();
  assert.deepEqual(
    filesIn(dir).map((path) => basename(path)),
    [`terraform-provider-proxmox_1.2.3_${os}_${arch}.zip`, "tofu.rc"],
  );
});

/** A plugin that describes itself as Packer asks it to. */
async function plugin(name: "qemu" | "proxmox", version: string): Promise<Recipe> {
  const { work, remove } = await cache.workDir(`packer-plugin-${name}`);
  const describe = JSON.stringify({
    version,
    api_version: "x5.0",
    builders: ["-packer-default-plugin-name-"],
  });
  const file = writeProgram(work, `packer-plugin-${name}`, `[ "$1" = describe ] && echo '${describe}'`);
  const made: Recipe = { ...recipe, version };
  await cache.install(`packer-plugin-${name}`, made, currentPlatform(), { work, file, source: "download" });
  await remove();
  return made;
}

test("Packer's plugins lie as Packer itself installs them, each with its checksum", async () => {
  const made = await plugin("qemu", "1.1.4");
  const { os, arch } = currentPlatform();
  const sets = await Promise.all([1, 2].map(async () => packerPlugins(["qemu"], { cache, recipe: made })));
  const [set] = sets;
  assert.ok(set);
  assert.deepEqual(sets[1], set);
  assert.deepEqual(
    set.tools.map(({ name, version }) => [name, version]),
    [["packer-plugin-qemu", "1.1.4"]],
  );
  const folder = join("github.com", "hashicorp", "qemu");
  const file = join(folder, `packer-plugin-qemu_v1.1.4_x5.0_${os}_${arch}`);
  assert.deepEqual(filesIn(set.dir), [file, `${file}_SHA256SUM`]);
  const program = readFileSync(join(set.dir, file));
  assert.equal(
    readFileSync(join(set.dir, `${file}_SHA256SUM`), "utf8"),
    createHash("sha256").update(program).digest("hex"),
  );
  assert.equal(statSync(join(set.dir, file)).mode & 0o111, 0o111);
});

test("another version of a plugin has another folder, so that Packer never meets two", async () => {
  const [older, newer] = [await plugin("qemu", "1.0.9"), await plugin("qemu", "1.1.4")];
  const dirs = [older, newer].map(
    async (each) => (await packerPlugins(["qemu"], { cache, recipe: each })).dir,
  );
  assert.deepEqual(
    (await Promise.all(dirs)).map((dir) => basename(dir)),
    ["qemu-1.0.9", "qemu-1.1.4"],
  );
});

/** The files below a folder, by their paths there. */
function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((path) => statSync(join(folder, path)).isFile())
    .sort();
}

function cards(): unknown[] {
  const folder = join(cache.dir, "tools", "kwok");
  return readdirSync(folder).map((entry) =>
    JSON.parse(readFileSync(join(folder, entry, "tool.json"), "utf8")),
  );
}
