import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { deflateRawSync } from "node:zlib";
import { TaskError } from "../../lib/errors.ts";
import { run } from "../../lib/process.ts";
import { ROOT } from "../../lib/task/index.ts";
import { ensureTool, TOOL_GROUPS, TOOL_NAMES, type Tool, ToolCache } from "../../lib/toolchain/index.ts";
import { RECIPES } from "../../lib/toolchain/recipes.ts";
import { type Build, currentPlatform, type Recipe, type Release } from "../../lib/toolchain/tool.ts";
import { basicPrograms, fakeGo, writeProgram } from "../support/programs.ts";

const base = mkdtempSync(join(tmpdir(), "homelab-toolchain-"));
const usual = { PATH: process.env.PATH, HOMELAB_TOOLS: process.env.HOMELAB_TOOLS };
const basics = basicPrograms(base);
const children: ChildProcess[] = [];

/** Real builds need a real Go. */
const WITH_GO = {
  skip: /go1\.(2[6-9]|[3-9]\d)/.test(spawnSync("go", ["version"], { encoding: "utf8" }).stdout ?? "")
    ? false
    : "Go 1.26 is not there",
};

/** What the publisher's server answers by path: a text, or whatever it likes to do with the response. */
const answers = new Map<string, string | Buffer | ((response: ServerResponse) => void)>();
const server = createServer(({ url = "" }, response) => {
  const answer = answers.get(url);
  if (typeof answer === "function") return answer(response);
  response.writeHead(answer === undefined ? 404 : 200).end(answer);
});
let origin = "";

before(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(() => {
  for (const child of children) child.kill("SIGKILL");
  server.closeAllConnections();
  server.close();
  Object.assign(process.env, usual);
  if (usual.HOMELAB_TOOLS === undefined) delete process.env.HOMELAB_TOOLS;
  rmSync(base, { recursive: true, force: true });
});

let folder: string;
let cache: ToolCache;
beforeEach(() => {
  folder = mkdtempSync(join(base, "t-"));
  cache = new ToolCache(join(folder, "cache"));
  answers.clear();
  delete process.env.HOMELAB_TOOLS;
  process.env.PATH = basics;
});

const sha256 = (content: string | Buffer): string => createHash("sha256").update(content).digest("hex");

function recipe(release: Partial<Release> | undefined, build: Partial<Build> = {}): Recipe {
  return {
    version: "1.2.3",
    about: "a tool of the tests",
    release: () =>
      release && { url: `${origin}/kwok`, checksum: { url: `${origin}/SHA256SUMS` }, ...release },
    build: {
      module: "homelab.invalid/tool",
      version: "v1.2.3",
      from: { package: "." },
      coldSeconds: 1,
      ...build,
    },
  };
}

/** Let the publisher have a program with its checksum among others. */
function publish(content: string | Buffer, name = "kwok"): void {
  answers.set(`/${name}`, content);
  answers.set("/SHA256SUMS", `${sha256("other")}  other\n${sha256(content)} *${name}\n`);
}

/** A zip archive of one file, as HashiCorp's releases come. */
function zipOf(name: string, content: string, method: 0 | 8 = 8): Buffer {
  const data = method === 8 ? deflateRawSync(content) : Buffer.from(content);
  const about = (signature: number, length: number): Buffer => {
    const record = Buffer.alloc(length);
    record.writeUInt32LE(signature);
    return record;
  };
  const local = about(0x04034b50, 30);
  local.writeUInt16LE(method, 8);
  local.writeUInt32LE(data.length, 18);
  local.writeUInt32LE(content.length, 22);
  local.writeUInt16LE(name.length, 26);
  const entry = about(0x02014b50, 46);
  entry.writeUInt16LE(method, 10);
  entry.writeUInt32LE(data.length, 20);
  entry.writeUInt32LE(content.length, 24);
  entry.writeUInt16LE(name.length, 28);
  const end = about(0x06054b50, 22);
  end.writeUInt16LE(1, 10);
  end.writeUInt32LE(local.length + name.length + data.length, 16);
  return Buffer.concat([local, Buffer.from(name), data, entry, Buffer.from(name), end]);
}

/** Why a tool cannot be had. */
async function refusal(wanted: Recipe): Promise<string> {
  try {
    await ensureTool("kwok", { cache, recipe: wanted });
  } catch (error) {
    assert(error instanceof TaskError);
    assert.deepEqual(readdirSync(join(cache.dir, "work")), [], "nothing half-done is left");
    assert.equal(existsSync(join(cache.dir, "tools")), false);
    return error.why ?? "";
  }
  return assert.fail("it was got");
}

const PROGRAM = "#!/bin/sh\necho downloaded\n";

describe("a release", () => {
  test("is downloaded, verified against the publisher's checksum file and can be started", async () => {
    publish(PROGRAM);
    const tool = await ensureTool("kwok", { cache, recipe: recipe({}) });
    assert.equal(tool.source, "download");
    assert.equal((await run(tool.path, [])).stdout, "downloaded\n");
    assert.deepEqual(JSON.parse(readFileSync(cache.checksumsFile, "utf8")), {
      [`${origin}/kwok`]: sha256(PROGRAM),
    });
  });

  test("is taken with a checksum file that holds a single hash, and with a known checksum", async () => {
    publish(PROGRAM);
    answers.set("/SHA256SUMS", `${sha256(PROGRAM)}\n`);
    await ensureTool("kwok", { cache, recipe: recipe({}) });
    await ensureTool("etcd", { cache, recipe: recipe({ checksum: { sha256: sha256(PROGRAM) } }) });
  });

  test("is found behind redirects", async () => {
    publish(PROGRAM, "elsewhere");
    answers.set("/SHA256SUMS", `${sha256(PROGRAM)}  kwok\n`);
    answers.set("/kwok", (response) => response.writeHead(302, { location: "/hop" }).end());
    answers.set("/hop", (response) => response.writeHead(307, { location: `${origin}/elsewhere` }).end());
    assert.equal((await ensureTool("kwok", { cache, recipe: recipe({}) })).source, "download");
  });

  test("with another checksum than its publisher's is refused", async () => {
    publish(PROGRAM);
    answers.set("/kwok", "something else");
    assert.match(
      await refusal(recipe({})),
      new RegExp(`Download: the checksum of ${origin}/kwok is ${sha256("something else")}`),
    );
    assert.equal(existsSync(cache.checksumsFile), false);
  });

  test("that cannot be verified is built instead, under the very name of the file that was refused", async () => {
    // Go does not overwrite what is no program: the refused file must not lie in its way.
    process.env.PATH = `${fakeGo(folder)}:${process.env.PATH}`;
    const go = join(folder, "go-bin", "go");
    const refuses = `[ ! -e "$2" ] || { echo "build output $2 already exists" >&2; exit 1; }; printf half`;
    writeFileSync(go, readFileSync(go, "utf8").replace("printf half", refuses));
    publish(PROGRAM);
    answers.set("/kwok", "<html>please log in</html>");
    const tool = await ensureTool("kwok", { cache, recipe: recipe({}) });
    assert.equal(tool.source, "build");
    assert.equal((await run(tool.path, [])).stdout, "built\n");
  });

  test("that is missing in its checksum file is refused", async () => {
    publish(PROGRAM);
    answers.set("/SHA256SUMS", `${sha256(PROGRAM)}  kwok.sig\n`);
    assert.match(await refusal(recipe({})), /SHA256SUMS has no checksum for .*\/kwok/);
  });

  test("whose checksum file is not there is refused", async () => {
    answers.set("/kwok", PROGRAM);
    assert.match(await refusal(recipe({})), /SHA256SUMS answered 404 Not Found/);
  });

  test("whose checksum the publisher has changed is refused", async () => {
    publish(PROGRAM);
    const { path } = await ensureTool("kwok", { cache, recipe: recipe({}) });
    rmSync(path);
    const before = sha256(PROGRAM);
    publish("#!/bin/sh\necho replaced\n");
    await assert.rejects(ensureTool("kwok", { cache, recipe: recipe({}) }), (error: unknown) => {
      assert(error instanceof TaskError);
      assert.match(error.why ?? "", new RegExp(`that had ${before} before; a release must not change`));
      return true;
    });
  });

  test("that breaks off is refused with how far it came, and can be got the next time", async () => {
    publish("x".repeat(100_000));
    answers.set("/kwok", (response) => {
      response.writeHead(200, { "content-length": 100_000 });
      response.write("x".repeat(50_000), () => setTimeout(() => response.destroy(), 50));
    });
    assert.match(await refusal(recipe({})), /Download: .*\/kwok broke off after 48\.8 KiB: /);
    publish(PROGRAM);
    await ensureTool("kwok", { cache, recipe: recipe({}) });
  });

  test("of a host that does not answer is given up, and named", async () => {
    const closed = "http://127.0.0.1:1";
    const why = await refusal(recipe({ url: `${closed}/kwok`, checksum: { url: `${closed}/sums` } }));
    assert.match(why, /Download: 127\.0\.0\.1:1 cannot be reached \(/);
  });

  test("shows bytes, rate and time left while it comes", async () => {
    const part = Buffer.alloc(64 * 1024, 1);
    publish(Buffer.concat(Array.from({ length: 6 }, () => part)));
    answers.set("/kwok", async (response) => {
      response.writeHead(200, { "content-length": 6 * part.length });
      for (let parts = 0; parts < 6; parts += 1) {
        response.write(part);
        await sleep(250);
      }
      response.end();
    });
    const lines: string[] = [];
    await ensureTool("kwok", { cache, recipe: recipe({}), onProgress: (line) => lines.push(line) });
    assert.match(lines[0] ?? "", /^[\d.]+ KiB of 384 KiB · 1\d %$/);
    assert.match(lines.join("\n"), /^[\d.]+ KiB of 384 KiB · \d\d % · [\d.]+ KiB\/s · [\d.]+ m?s left$/m);
  });

  test("is given up when the run is interrupted, and nothing half-done is left", async () => {
    publish(PROGRAM);
    const interrupt = new AbortController();
    answers.set("/kwok", (response) => {
      response.writeHead(200, { "content-length": 100_000 }).write("half");
      setTimeout(() => interrupt.abort(new Error("pressed Ctrl-C")), 50);
    });
    await assert.rejects(
      ensureTool("kwok", { cache, recipe: recipe({}), signal: interrupt.signal }),
      /pressed Ctrl-C/,
    );
    assert.deepEqual(readdirSync(join(cache.dir, "work")), []);
  });
});

describe("an archive", () => {
  /** Pack what `fill` puts into a folder; GNU tar keeps names as they are with -P. */
  async function pack(fill: (content: string) => void, ...names: string[]): Promise<Buffer> {
    const content = join(folder, "content");
    mkdirSync(content);
    fill(content);
    await run("tar", ["-czPf", join(folder, "it.tar.gz"), "-C", content, ...names]);
    return readFileSync(join(folder, "it.tar.gz"));
  }
  const member = { member: "linux/kwok" };
  const withProgram = (content: string): void => {
    mkdirSync(join(content, "linux"));
    writeFileSync(join(content, "linux", "kwok"), PROGRAM, { mode: 0o644 });
    writeFileSync(join(content, "README"), "read me");
  };

  test("gives the one file that is wanted, and that can be started", async () => {
    publish(await pack(withProgram, "linux/kwok", "README"));
    const { path } = await ensureTool("kwok", { cache, recipe: recipe(member) });
    assert.equal((await run(path, [])).stdout, "downloaded\n");
    assert.deepEqual(readdirSync(join(path, "..")).sort(), ["kwok", "tool.json"]);
    assert.equal(lstatSync(path).uid, process.getuid?.());
  });

  test("without the file that is wanted is refused", async () => {
    publish(await pack((content) => writeFileSync(join(content, "README"), ""), "README"));
    assert.match(await refusal(recipe(member)), /linux\/kwok: Not found in archive/);
  });

  test("that would write outside its folder harms nothing", async () => {
    const outside = join(folder, "outside");
    publish(
      await pack(
        (content) => {
          withProgram(content);
          writeFileSync(join(content, "..", "evil"), "evil");
          writeFileSync(outside, "evil");
        },
        "../evil",
        outside,
        "linux/kwok",
      ),
    );
    rmSync(outside);
    rmSync(join(folder, "evil"));
    await ensureTool("kwok", { cache, recipe: recipe(member) });
    assert.equal(existsSync(outside), false);
    assert.equal(existsSync(join(folder, "evil")), false);
  });

  test("in which the wanted file is a link is refused", async () => {
    publish(
      await pack((content) => {
        mkdirSync(join(content, "linux"));
        symlinkSync("/bin/sh", join(content, "linux", "kwok"));
      }, "linux/kwok"),
    );
    assert.match(await refusal(recipe(member)), /linux\/kwok in kwok is not a file/);
  });

  const zipped = (archive: Buffer, file = "kwok.zip"): Recipe => {
    publish(archive, file);
    return recipe({ url: `${origin}/${file}`, member: "kwok" });
  };

  for (const [how, method] of [
    ["deflated", 8],
    ["stored", 0],
  ] as const) {
    test(`that is a zip gives its file, ${how}`, async () => {
      const { path } = await ensureTool("kwok", {
        cache,
        recipe: zipped(zipOf("kwok", PROGRAM, method)),
      });
      assert.equal((await run(path, [])).stdout, "downloaded\n");
      assert.equal(basename(path), "kwok");
    });
  }

  test("that is a zip without the file that is wanted is refused", async () => {
    assert.match(await refusal(zipped(zipOf("other", PROGRAM))), /there is no kwok in the archive/);
  });

  test("that is a damaged zip is refused", async () => {
    const whole = zipOf("kwok", PROGRAM);
    const damaged = [whole.subarray(0, 40), whole.subarray(10), Buffer.alloc(0)];
    for (const [index, archive] of damaged.entries()) {
      assert.match(await refusal(zipped(archive, `kwok-${index}.zip`)), /the archive is damaged/);
    }
  });
});

describe("a build", () => {
  const getTool = fileURLToPath(new URL("../fixtures/toolchain/get-tool.ts", import.meta.url));

  /** A process of its own that gets the tool; its builds wait for the gate. */
  function getter(): {
    child: ChildProcess;
    output: Promise<{ code: number | null; out: string; err: string }>;
  } {
    const child = spawn(process.execPath, ["--import", "tsx", getTool, cache.dir], {
      env: { ...process.env, PATH: `${fakeGo(folder)}:${process.env.PATH}`, GATE: gate(), GO_LOG: log() },
      stdio: ["ignore", "pipe", "pipe"],
    });
    children.push(child);
    let out = "";
    let err = "";
    child.stdout?.on("data", (data: Buffer) => {
      out += String(data);
    });
    child.stderr?.on("data", (data: Buffer) => {
      err += String(data);
    });
    const output = new Promise<{ code: number | null; out: string; err: string }>((resolve) =>
      child.once("close", (code) => resolve({ code, out, err })),
    );
    return { child, output };
  }
  const gate = (): string => join(folder, "gate");
  const log = (): string => join(folder, "go.log");
  const builds = (): string[] =>
    existsSync(log()) ? readFileSync(log(), "utf8").trim().split("\n").filter(Boolean) : [];

  async function until(what: string, holds: () => boolean): Promise<void> {
    for (let tries = 0; !holds(); tries += 1) {
      if (tries > 400) assert.fail(`${what}: it did not come to that`);
      await sleep(25);
    }
  }

  test("comes from the Go module proxy, in a copy of the module", WITH_GO, async () => {
    process.env.PATH = usual.PATH;
    const lines: string[] = [];
    const tool = await ensureTool("kwok", {
      cache,
      recipe: recipe(undefined, { module: "rsc.io/2fa", version: "v1.2.0" }),
      onProgress: (line) => lines.push(line),
    });
    assert.equal(tool.source, "build");
    assert.deepEqual(lines.slice(0, 1), ["downloading rsc.io/2fa@v1.2.0"]);
    assert.deepEqual(await run(tool.path, ["-list"], { env: { HOME: folder } }), {
      stdout: "",
      stderr: "",
      exitCode: 0,
    });
  });

  test("comes from a module of our own that requires it, where that is wanted", WITH_GO, async () => {
    process.env.PATH = usual.PATH;
    const { path } = await ensureTool("kwok", {
      cache,
      recipe: recipe(undefined, {
        module: "rsc.io/2fa",
        version: "v1.2.0",
        from: { package: "rsc.io/2fa" },
        ownModule: {},
      }),
    });
    await run(path, ["-list"], { env: { HOME: folder } });
  });

  test("takes a file of a module as it is", WITH_GO, async () => {
    process.env.PATH = usual.PATH;
    const { path } = await ensureTool("argocd-manifests", {
      cache,
      recipe: recipe(undefined, { module: "rsc.io/2fa", version: "v1.2.0", from: { file: "README.md" } }),
    });
    assert.match(readFileSync(path, "utf8"), /two-factor/);
  });

  test("of a version that does not exist says so in the words of Go", WITH_GO, async () => {
    process.env.PATH = usual.PATH;
    const why = await refusal(recipe(undefined, { module: "rsc.io/2fa", version: "v99.0.0" }));
    assert.match(why, /^Build: rsc\.io\/2fa@v99\.0\.0: /);
  });

  test("that fails shows the compiler's words", async () => {
    process.env.PATH = `${fakeGo(folder)}:${process.env.PATH}`;
    const go = join(folder, "go-bin", "go");
    const fails = 'build) echo "main.go:3: undefined: x" >&2; exit 1 ;;\n  other)';
    writeFileSync(go, readFileSync(go, "utf8").replace("build)", fails));
    assert.match(await refusal(recipe(undefined)), /Build: go build failed: main\.go:3: undefined: x/);
  });

  test("that is interrupted ends, leaves nothing half-done and can be made afterwards", async () => {
    process.env.PATH = `${fakeGo(folder)}:${process.env.PATH}`;
    process.env.GATE = gate();
    process.env.GO_LOG = log();
    try {
      const interrupt = new AbortController();
      const wanted = { cache, recipe: recipe(undefined) };
      const running = ensureTool("kwok", { ...wanted, signal: interrupt.signal });
      await Promise.all([
        assert.rejects(running, /pressed Ctrl-C/),
        until("building", () => builds().length === 1).then(() =>
          interrupt.abort(new Error("pressed Ctrl-C")),
        ),
      ]);
      assert.deepEqual(readdirSync(join(cache.dir, "work")), []);
      assert.equal(existsSync(join(cache.dir, "tools")), false);
      assert.equal(alive(Number(builds()[0]?.split(" ")[0])), false, "go has ended");
      writeFileSync(gate(), "");
      assert.equal((await ensureTool("kwok", wanted)).source, "build");
    } finally {
      delete process.env.GATE;
      delete process.env.GO_LOG;
    }
  });

  test("whose process is killed leaves nothing that the next run could take for a tool", async () => {
    const killed = getter();
    await until("building", () => builds().length === 1);
    killed.child.kill("SIGKILL");
    await killed.output;
    writeFileSync(gate(), "");
    const { code, out } = await getter().output;
    assert.equal(code, 0);
    assert.match(readFileSync(out, "utf8"), /echo built/);
    assert.deepEqual(readdirSync(join(cache.dir, "work")), []);
    assert.equal(builds().length, 2);
  });

  test("is made by one of two processes, the other waits and finds it", async () => {
    const first = getter();
    await until("building", () => builds().length === 1);
    const second = getter();
    let told = "";
    second.child.stderr?.on("data", (data: Buffer) => {
      told += String(data);
    });
    await until("waiting", () => told.includes(`waiting for process ${first.child.pid}`));
    writeFileSync(gate(), "");
    const [one, two] = await Promise.all([first.output, second.output]);
    assert.deepEqual([one.code, two.code], [0, 0]);
    assert.equal(one.out, two.out);
    assert.equal(builds().length, 1);
  });
});

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ");
  } catch {
    return false;
  }
}

describe("setup", () => {
  async function setup(...flags: string[]) {
    const { stdout, stderr, exitCode } = await run(
      process.execPath,
      ["--import", "tsx", join(ROOT, "tasks", "setup.ts"), ...flags],
      {
        // No way is allowed: only what is in the cache is there.
        env: { PATH: basics, HOME: folder, HOMELAB_CACHE: cache.dir, HOMELAB_TOOLS: "none" },
        allow: [0, 1, 2],
      },
    );
    const events = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    return { events, stderr, exitCode };
  }

  test("--json --for an unknown group is wrong usage, which names the groups", async () => {
    const { events, stderr, exitCode } = await setup("--json", "--for", "nothing");
    assert.equal(exitCode, 2);
    assert.equal(events.length, 1);
    assert.deepEqual([events[0]?.event, events[0]?.ok, events[0]?.exitCode], ["result", false, 2]);
    assert.match(JSON.stringify(events[0]), /no group of tools called \\"nothing\\"/);
    assert.match(stderr, /Use one of deploy, sandbox, gitops, lint, image, image-proxmox, properties, test/);
  });

  // Packer's plugin for Proxmox has no source but its release: it is got where it is asked for.
  for (const [flags, names] of [
    [[], TOOL_GROUPS.test],
    [["--for", "image-proxmox"], TOOL_GROUPS["image-proxmox"]],
  ] as const) {
    test(`--json ${flags.join(" ")} prints a line for each step and a last one with every tool`, async () => {
      for (const name of TOOL_NAMES) {
        const { work } = await cache.workDir(name);
        const file = writeProgram(work, "program", "");
        await cache.install(name, RECIPES[name], currentPlatform(), { work, file, source: "build" });
      }
      const { events, exitCode } = await setup("--json", ...flags);
      assert.equal(exitCode, 0);
      const result = events.pop() as { event: string; ok: boolean; tools: Tool[] };
      assert.deepEqual([result.event, result.ok], ["result", true]);
      assert.deepEqual(
        result.tools.map(({ name, version, source }) => [name, version, source]),
        names.map((name) => [
          name,
          RECIPES[name].build?.version.replace(/^v/, "") ?? RECIPES[name].version,
          "build",
        ]),
      );
      assert.deepEqual(
        events.map(({ event, title, state }) => [event, title, state]),
        names.map((name) => ["step", `${name} ${RECIPES[name].version}`, "skipped"]),
      );
      for (const { ms } of events) assert.equal(typeof ms, "number");
    });
  }

  test("--json ends with what failed when a tool is not to be had", async () => {
    const { events, stderr, exitCode } = await setup("--json", "--for", "sandbox");
    assert.equal(exitCode, 1);
    assert.deepEqual(
      events.map(({ event, state, ok }) => [event, state ?? ok]),
      [
        ["step", "started"],
        ["step", "failed"],
        ["result", false],
      ],
    );
    assert.match(stderr, /etcd .* is not to be had[\s\S]*What to do now[\s\S]*\$ npm run setup/);
    assert.doesNotMatch(stderr, /at .*\.ts:\d+/);
  });
});
