import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { setMaxListeners } from "node:events";
import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { hostname, tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { InterruptedError, TaskError, UsageError } from "../../lib/errors.ts";
import { CommandError, type RunOptions, type RunResult } from "../../lib/process.ts";
import {
  bytesAfter,
  createSparseQcow2,
  demandArrived,
  type ImageMetadata,
  NodeShell,
  parseNotes,
  readContent,
  type SshTarget,
  SshWay,
  send,
  UPLOAD_FOLDER,
  uploadPath,
} from "../../lib/proxmox/index.ts";
import { formatMark, runMark } from "../../lib/run-mark.ts";
import { type Sandbox, startSandbox } from "../../lib/sandbox/index.ts";
import { ROOT } from "../../lib/task/index.ts";
import { runSteps } from "../../lib/task/run.ts";
import { type UploadRequest, uploadSteps } from "../../tasks/upload-image.ts";
import { PveApi } from "../support/pve.ts";
import { refused } from "../support/refused.ts";

/** A qcow2 image on its way to a template, over real SSH to the embedded node. */

const dir = mkdtempSync(join(tmpdir(), "homelab-upload-"));
const images = join(dir, "images");
const GIB = 1024 ** 3;
/** A file on the node that was there before. */
const BEFORE = "homelab-somebody-elses.qcow2";

let sandbox: Sandbox;
let pve: PveApi;
const shells: NodeShell[] = [];
const children: ChildProcess[] = [];

before(async () => {
  mkdirSync(images);
  sandbox = await startSandbox({ dir: join(dir, "sandbox") });
  pve = new PveApi(sandbox.endpoints);
  // What was there before, and must be there afterwards.
  await pve.createVm(100, "somebody-elses");
  mkdirSync(onNode(), { recursive: true });
  writeFileSync(onNode(BEFORE), "not ours");
});

after(async () => {
  for (const child of children) child.kill("SIGKILL");
  await Promise.all(shells.map(async (shell) => await shell.close()));
  await sandbox?.stop();
  rmSync(dir, { recursive: true, force: true });
});

function onNode(file = ""): string {
  return join(dir, "sandbox", "rootfs", UPLOAD_FOLDER, file);
}

/** What has arrived of images, apart from marks and locks. */
function remainders(name: string): string[] {
  return readdirSync(onNode()).filter((file) => file.startsWith(`${name}-`) && file.endsWith(".qcow2"));
}

let releases = 0;
/** A name that no other test has. */
function freshName(): string {
  releases += 10;
  return `alma9-k3-node-amd64-v1.28.5-v${releases}`;
}

/** An image of a few hundred kilobytes, each with another content. */
async function image(file = `image-${releases}.qcow2`): Promise<string> {
  const path = join(images, file);
  await createSparseQcow2(path, GIB);
  appendFileSync(path, `the image ${path}`);
  return path;
}

/** Put data at an image's end that neither compress nor are zeros: its unused tail. */
function appendData(file: string, mebibytes: number): void {
  appendFileSync(file, randomBytes(mebibytes * 1024 ** 2));
}

function target(): SshTarget {
  const { sshHost: host, sshUser: user, sshPort: port, sshConfigFile: configFile } = sandbox.endpoints;
  return { host, user, port, configFile };
}

type Run = (words: readonly string[], options?: RunOptions) => Promise<RunResult>;

/** A node on which one thing goes wrong: `around` stands between the steps and each command. */
class TroubledShell extends NodeShell {
  readonly #around: (words: readonly string[], run: Run) => Promise<RunResult>;

  constructor(around: (words: readonly string[], run: Run) => Promise<RunResult>) {
    super(target());
    this.#around = around;
  }

  override async run(words: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return await this.#around(words, async (others) => await super.run(others, options));
  }
}

/** Do something just before a command that contains these words. */
function justBefore(part: string, action: (words: readonly string[]) => void): TroubledShell {
  return new TroubledShell(async (words, run) => {
    if (words.join(" ").includes(part)) action(words);
    return await run(words);
  });
}

interface Upload {
  readonly metadata: ImageMetadata | undefined;
  readonly notes: readonly string[];
  readonly skipped: readonly string[];
}

async function upload(
  request: Pick<UploadRequest, "file" | "name"> & Partial<UploadRequest>,
  {
    shell = new NodeShell(target()),
    interrupt = new AbortController(),
    output = (_line: string): void => {},
    yes = false,
  } = {},
): Promise<Upload> {
  shells.push(shell);
  const { signal } = interrupt;
  // Many steps and children listen to the one signal of a run.
  setMaxListeners(0, signal);
  const { storage, bridge } = sandbox.endpoints;
  const notes: string[] = [];
  const skipped: string[] = [];
  let metadata: ImageMetadata | undefined;
  const done = (made: ImageMetadata): void => {
    metadata = made;
  };
  const steps = uploadSteps(
    { storage, bridge, k3sVersion: "v1.28.5+k3s1", ...request },
    { way: new SshWay(shell), done },
  );
  await runSteps(steps, {
    signal,
    yes,
    reporter: {
      drawsList: false,
      step: ({ title, state }) => void (state === "skipped" && skipped.push(title)),
      output,
      note: (line) => void notes.push(line),
    },
  });
  return { metadata, notes, skipped };
}

/** Everything on the node that an upload could touch. */
async function world(): Promise<unknown> {
  const vms = await pve.vms();
  const configs = await Promise.all(vms.map(async ({ vmid }) => [vmid, await pve.config(vmid)]));
  const disks = readdirSync(join(dir, "sandbox", "rootfs", "var", "lib", "vmdata", "images"), {
    recursive: true,
  });
  // What was sent stays on purpose; the tests of resuming look at that.
  const transferred = readdirSync(onNode()).filter((file) => !/^alma9-.*\.qcow2(\.run)?$/.test(file));
  return { configs: configs.sort(), transferred: transferred.sort(), disks: disks.sort() };
}

/** An action that must leave the node as it was. */
async function unchanged<T>(action: () => Promise<T>): Promise<T> {
  const was = await world();
  const result = await action();
  assert.deepEqual(await world(), was, "the node is not as it was");
  return result;
}

async function templateOf(name: string): Promise<Record<string, string | number>> {
  const found = (await pve.vms()).filter((vm) => vm.name === name);
  assert.equal(found.length, 1, `${found.length} VMs are called ${name}`);
  return await pve.config(found[0]?.vmid ?? 0);
}

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Settings that point the command at the test's own node, and a secret that it has no use for. */
function settings(): Readonly<Record<string, string>> {
  const { apiUrl, tokenId, tokenSecret, caFile, ...at } = sandbox.endpoints;
  return {
    PM_API_URL: apiUrl,
    PM_API_TOKEN_ID: tokenId,
    PM_API_TOKEN_SECRET: tokenSecret,
    PM_TLS_CA: caFile,
    PM_SSH_HOST: at.sshHost,
    PM_SSH_PORT: String(at.sshPort),
    PM_SSH_USER: at.sshUser,
    PM_SSH_CONFIG: at.sshConfigFile,
    PM_STORAGE: at.storage,
    PM_BRIDGE: at.bridge,
    K3S_VERSION: "v1.28.5+k3s1",
  };
}

/** The real command. */
async function command(
  args: readonly string[],
  watch?: (child: ChildProcess, stderr: string) => void,
): Promise<Ended> {
  const child = spawn(process.execPath, ["--import", "tsx", "tasks/upload-image.ts", ...args], {
    cwd: ROOT,
    env: { ...process.env, ...settings(), NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.push(child);
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
    watch?.(child, stderr);
  });
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  assert.ok(!(stdout + stderr).includes(sandbox.endpoints.tokenSecret), "a secret is shown");
  return { code, stdout, stderr };
}

describe("upload-image", () => {
  const name = freshName();
  let file: string;
  let metadata: ImageMetadata;

  test("prints the template's name as the last line of stdout, and nothing else", async () => {
    file = await image();
    const { code, stdout, stderr } = await command([file, name]);
    assert.equal(code, 0, stderr);
    assert.equal(stdout, `${name}\n`);
    // A step that took a while says how long.
    assert.match(stderr, /✔ Compare checksums( \(\d+ ms\))?\n/);
    assert.deepEqual(readdirSync(onNode()), [BEFORE]);
  });

  test("makes a template as the specification has it", async () => {
    const config = await templateOf(name);
    const wanted: Record<string, RegExp> = {
      template: /^1$/,
      machine: /^q35$/,
      bios: /^ovmf$/,
      efidisk0: /^vmdata:.*efitype=4m,pre-enrolled-keys=0/,
      scsihw: /^virtio-scsi-single$/,
      scsi0: /^vmdata:.*discard=on,iothread=1,size=1G,ssd=1$/,
      net0: /^virtio=[0-9A-F:]{17},bridge=vmbr0$/,
      ide2: /^vmdata:.*cloudinit.*media=cdrom/,
      agent: /^enabled=1$/,
      serial0: /^socket$/,
      boot: /^order=scsi0$/,
      ostype: /^l26$/,
      tags: /^homelab;k3s;template$/,
    };
    for (const [key, form] of Object.entries(wanted)) assert.match(String(config[key] ?? ""), form, key);
    assert.deepEqual(
      Object.keys(config)
        .filter((key) => /^(scsi|virtio|sata|ide|net|unused)\d+$/.test(key))
        .sort(),
      ["ide2", "net0", "scsi0"],
    );
  });

  test("writes the metadata into the notes and beside the image", async () => {
    const notes = parseNotes(String((await templateOf(name)).description));
    assert.ok(notes);
    metadata = notes;
    const { build_date, qcow2_sha256, qcow2_size_gb, ...rest } = metadata;
    assert.deepEqual(rest, {
      version: name,
      base_os: "AlmaLinux 9",
      architecture: "amd64",
      k3s_version: "v1.28.5+k3s1",
      distribution_release: name.split("-").at(-1),
      qcow2_path: file,
      template_id: (await pve.vms()).find((vm) => vm.name === name)?.vmid,
    });
    assert.match(build_date, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    assert.equal(qcow2_sha256, execFileSync("sha256sum", ["--", file], { encoding: "utf8" }).split(" ")[0]);
    assert.equal(qcow2_size_gb, Number((statSync(file).size / 1e9).toPrecision(3)));
    assert.deepEqual(JSON.parse(readFileSync(`${file}.json`, "utf8")), metadata);
  });

  test("run again, it changes nothing and has the same result; with --json stdout is events alone", async () => {
    const { mtimeMs } = statSync(`${file}.json`);
    const { code, stdout, stderr } = await unchanged(async () => await command([file, name, "--json"]));
    assert.equal(code, 0, stderr);
    const events = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.deepEqual(events.pop(), { event: "result", ok: true, template: name, metadata });
    assert.deepEqual([...new Set(events.map(({ event }) => event))].sort(), ["note", "step"]);
    const skipped = events.filter(({ state }) => state === "skipped").map(({ title }) => title);
    assert.ok(skipped.includes("Send the image") && skipped.includes("Create the VM"), skipped.join());
    assert.equal(statSync(`${file}.json`).mtimeMs, mtimeMs);
  });

  test("--dry-run shows the commands and does nothing", async () => {
    const other = await image("dry.qcow2");
    const { code, stdout, stderr } = await unchanged(
      async () => await command([other, freshName(), "--dry-run"]),
    );
    assert.equal(code, 0, stderr);
    assert.equal(stdout, "");
    assert.match(stderr, /\$ qm create 9000 /);
    assert.match(stderr, /\$ qm template 9000/);
    assert.equal(existsSync(`${other}.json`), false);
  });

  test("a malformed name is wrong usage, in events too", async () => {
    const { code, stdout } = await unchanged(async () => await command([file, "golden", "--json"]));
    assert.equal(code, 2);
    const result = JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "") as Record<string, unknown>;
    assert.equal(result.event, "result");
    assert.equal(result.ok, false);
    assert.equal(result.exitCode, 2);
    assert.throws(
      () =>
        uploadSteps(
          { file, name: "golden", storage: "a", bridge: "b" },
          { way: new SshWay(new NodeShell(target())) },
        ),
      UsageError,
    );
  });

  test("Ctrl-C while the image is sent leaves what has arrived, says so, and the next run goes on from it", async () => {
    const large = await image("large.qcow2");
    appendData(large, 24);
    const name = freshName();
    const { code, stdout, stderr } = await unchanged(
      async () =>
        await command([large, name, "--limit", "8M"], (child, said) => {
          if (!/✔ Make sure that nobody/.test(said) || child.killed) return;
          void (async () => {
            const arrived = (): number => {
              const [file] = remainders(name);
              return file === undefined ? 0 : statSync(onNode(file)).size;
            };
            while (arrived() < 4 * 1024 ** 2) await sleep(5);
            child.kill("SIGINT");
          })();
        }),
    );
    assert.equal(code, 130, stderr);
    assert.equal(stdout, "");
    assert.match(stderr, /✖ Interrupted/);
    const said =
      /([\d.]+) MiB of [\d.]+ MiB lie on the node in (\S+): running this again goes on from there \(npm run leftovers removes it, or on the node: rm \S+\)/;
    const [, arrived = "", path = ""] = said.exec(stderr) ?? assert.fail(stderr);
    assert.ok(Number(arrived) >= 4 && Number(arrived) < 24, stderr);
    assert.deepEqual(remainders(name), [path.split("/").at(-1)]);
    assert.match(
      readFileSync(`${onNode(remainders(name)[0])}.run`, "utf8"),
      /^homelab run [0-9a-f]{8} by \S+ \(process \d+, \S+\) since /,
    );
    assert.equal(existsSync(`${large}.json`), false);

    const again = await command([large, name]);
    assert.equal(again.code, 0, again.stderr);
    assert.match(again.stderr, /([\d.]+) MiB sent, after [\d.]+ MiB of an earlier run/);
    assert.deepEqual(readdirSync(onNode()), [BEFORE]);
  });

  test("Ctrl-C when the VM is there removes it, and only that; the image is not sent a second time", async () => {
    const file = await image("interrupted.qcow2");
    const name = freshName();
    const { code, stderr } = await unchanged(
      async () =>
        await command([file, name], (child, said) => {
          if (/✔ Create the VM/.test(said) && !child.killed) child.kill("SIGINT");
        }),
    );
    assert.equal(code, 130, stderr);
    assert.match(stderr, /Rolled back: VM \d+ removed/);
    assert.match(stderr, /lie on the node in \S+: running this again goes on from there/);
    const { notes } = await upload({ file, name });
    assert.match(notes.join("\n"), /It lay on the node already, nothing was sent/);
  });

  test("--limit takes a rate", async () => {
    const { code, stderr } = await command([file, freshName(), "--limit", "fast"]);
    assert.equal(code, 2);
    assert.match(stderr, /--limit fast is no rate/);
  });
});

describe("an upload is refused before anything is sent", () => {
  test("a name that another image has; the next free release is named", async () => {
    const name = freshName();
    await upload({ file: await image(), name });
    await pve.createVm(
      300,
      name.replace(/\d+$/, (release) => String(Number(release) + 1)),
    );
    const { what, why, todo } = await refused(
      unchanged(async () => await upload({ file: await image("other.qcow2"), name })),
    );
    assert.equal(what, `The name ${name} is taken on the node`);
    assert.match(why ?? "", /^VM \d+ has it, a template made from another image$/);
    assert.deepEqual(todo, [
      `Use the next free release: ${name.replace(/\d+$/, (n) => String(Number(n) + 2))}`,
    ]);
    await pve.destroy(300);
  });

  test("a name that a VM has, and one of a template without metadata", async () => {
    const name = freshName();
    const file = await image();
    await pve.createVm(301, name);
    assert.match((await refused(upload({ file, name }))).why ?? "", /VM 301 has it, and is no template/);
    await pve.task("POST", "/nodes/pve/qemu/301/template");
    assert.match((await refused(upload({ file, name }))).why ?? "", /a template made from another image/);
    await pve.destroy(301);
  });

  test("what is no image, and what is not there", async () => {
    const text = join(images, "text.qcow2");
    writeFileSync(text, "x".repeat(1000));
    assert.match((await refused(upload({ file: text, name: freshName() }))).why ?? "", /not in qcow2 format/);
    const missing = join(images, "missing\n.qcow2");
    assert.equal((await refused(upload({ file: missing, name: freshName() }))).why, "There is no such file");
  });

  test("a storage that is not there; those that are are named", async () => {
    const file = await image();
    const error = await refused(
      unchanged(async () => await upload({ file, name: freshName(), storage: "nosuch" })),
    );
    assert.equal(error.what, "There is no storage nosuch on the node");
    assert.equal(error.why, "It has local, vmdata");
    assert.match(error.todo.join("\n"), /PM_STORAGE/);
  });

  test("a storage with less room than the guest's disk needs", async () => {
    const file = join(images, "huge.qcow2");
    // More than any machine has on which the tests run.
    await createSparseQcow2(file, 1024 ** 5);
    const error = await refused(unchanged(async () => await upload({ file, name: freshName() })));
    assert.equal(error.what, "The storage vmdata is too full");
    assert.match(error.why ?? "", /^1024 TiB are needed, .* are free$/);
  });

  test("no room for the file on its way", async () => {
    const shell = new TroubledShell(async (words, run) => {
      const result = await run(words);
      return words[0] === "df" ? { ...result, stdout: "Avail\n1000\n" } : result;
    });
    const { what, why } = await refused(upload({ file: await image(), name: freshName() }, { shell }));
    assert.equal(what, "/var/lib on the node is too full");
    assert.match(why ?? "", /KiB are needed for the transfer to \S+, 1000 B are free/);
  });

  test("a machine that is no node, and a user who is not root", async () => {
    const file = await image();
    const machine = new TroubledShell(
      async (words, run) => await run(words[0] === "pveversion" ? ["nosuch-program"] : words),
    );
    const { what: whatMachine } = await refused(upload({ file, name: freshName() }, { shell: machine }));
    assert.equal(whatMachine, "127.0.0.1 is not a Proxmox VE node");
    const ann = new TroubledShell(async (words, run) => {
      const result = await run(words);
      return words[0] === "id" ? { ...result, stdout: "1000\n" } : result;
    });
    const { what, todo } = await refused(upload({ file, name: freshName() }, { shell: ann }));
    assert.equal(what, "root may not import a disk on the node");
    assert.deepEqual(todo, ["Set PM_SSH_USER=root"]);
  });

  test("a node whose SSH does not answer", async () => {
    const shell = new NodeShell({ ...target(), port: 1 });
    const { what, why, todo } = await refused(upload({ file: await image(), name: freshName() }, { shell }));
    assert.equal(what, "SSH to root@127.0.0.1:1 failed");
    assert.match(why ?? "", /^Nothing listens there \(connection refused\)/);
    assert.match(todo.join("\n"), /PM_SSH_HOST and PM_SSH_PORT/);
  });

  test("a node whose host key is not known, or another one", async () => {
    const file = await image();
    const { port, configFile = "" } = target();
    const other = `[127.0.0.1]:${port} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBXRK5CLWFa1aUdkLZexzJI8jAi4sGANxV0HLVdf7jrI\n`;
    for (const [known, why] of [
      ["", /^Its host key is not known here/],
      [other, /^Its host key is another one than before/],
    ] as const) {
      const knownHosts = join(dir, "known_hosts");
      writeFileSync(knownHosts, known);
      const config = join(dir, "ssh config");
      const lines = readFileSync(configFile, "utf8");
      writeFileSync(config, lines.replace(/UserKnownHostsFile .*/, `UserKnownHostsFile "${knownHosts}"`));
      const shell = new NodeShell({ ...target(), configFile: config });
      assert.match((await refused(upload({ file, name: freshName() }, { shell }))).why ?? "", why);
    }
  });
});

describe("an upload that fails is rolled back", () => {
  const cases: Readonly<
    Record<string, readonly [shell: () => NodeShell, what: string, why: RegExp, vm: boolean]>
  > = {
    "damage on the way": [
      () => justBefore("sha256sum", (words) => appendFileSync(onNode(words[1]?.split("/").at(-1)), "x")),
      "The image was damaged on its way",
      /^sha256 here [0-9a-f]{64}, on the node [0-9a-f]{64}$/,
      false,
    ],
    "a transfer that the node ends before its time": [
      () => {
        const shell = new NodeShell(target());
        const { command } = shell;
        shell.command = async (more, options) =>
          await command.call(
            shell,
            more.map((word) => word.replace(/dd of.*/, "nosuch-program")),
            options,
          );
        return shell;
      },
      "The image was not sent",
      /nosuch-program: command not found/,
      false,
    ],
    "a node that cannot create the VM": [
      () =>
        new TroubledShell(
          async (words, run) =>
            await run(
              words.includes("create") ? words.map((word) => word.replace("vmdata:0", "nosuch:0")) : words,
            ),
        ),
      "The VM was not created",
      /storage 'nosuch' does not exist/,
      false,
    ],
    "an image that the node cannot read": [
      () =>
        justBefore("import-from", (words) => {
          const [, file = ""] = /import-from=\S+\/([^,/]+),/.exec(words.join(" ")) ?? [];
          writeFileSync(onNode(file), "no image at all ".repeat(100));
        }),
      "The disk was not imported",
      /qcow2/,
      true,
    ],
    "an import that ends with 0 without having done anything": [
      () =>
        new TroubledShell(async (words, run) =>
          words.join(" ").includes("import-from")
            ? { stdout: "", stderr: "", exitCode: 0 }
            : await run(words),
        ),
      "The disk was not imported completely",
      /^The VM has no disk$/,
      true,
    ],
    "a template that the node does not make": [
      () =>
        new TroubledShell(
          async (words, run) =>
            await run(words.includes("template") && words[0] === "qm" ? ["qm", "template", "4711"] : words),
        ),
      "The VM was not turned into a template",
      /4711\.conf' does not exist/,
      true,
    ],
  };
  for (const [title, [shell, what, why, vm]] of Object.entries(cases)) {
    test(title, async () => {
      const name = freshName();
      const file = await image();
      // More than a pipe holds: whoever writes notices that nobody reads any more.
      appendData(file, 8);
      const error = await refused(unchanged(async () => await upload({ file, name }, { shell: shell() })));
      assert.equal(error.what, what);
      assert.match(error.why ?? "", why);
      const left = error.left.join("\n");
      assert.match(left, /the lock on the node released/);
      assert.match(
        left,
        what.includes("damaged") ? /\S+\.qcow2 was removed from the node/ : / the node (in \S+: running|\()/,
      );
      assert.equal(/Rolled back: VM \d+ removed/.test(left), vm, left);
      assert.match(error.todo.join("\n"), /\$ scp [\s\S]*\$ qm create \d+ --name [\s\S]*\$ qm template \d+/);
      assert.equal(existsSync(`${file}.json`), false);
    });
  }

  test("the commands for doing it by hand can be pasted, and do it", async () => {
    const name = freshName();
    const file = await image('it\'s a "golden" $(image).qcow2');
    const shell = justBefore("sha256sum", (words) =>
      appendFileSync(onNode(words[1]?.split("/").at(-1)), "x"),
    );
    const { todo } = await refused(upload({ file, name }, { shell }));
    const commands = todo.filter((line) => line.startsWith("$ ")).map((line) => line.slice(2));
    const [copy = "", connect = "", ...onTheNode] = commands;
    execFileSync("/bin/sh", ["-c", copy], { stdio: "ignore" });
    assert.match(connect, /^ssh -F \S+ -p \d+ root@127\.0\.0\.1$/);
    for (const line of onTheNode) await shell.runLine(line);
    const config = await templateOf(name);
    assert.equal(config.template, 1);
    assert.match(String(config.scsi0), /size=1G/);
    assert.deepEqual(readdirSync(onNode("../../../tmp")), []);
  });

  test("a connection that breaks when the VM has just been made leaves no VM behind", async () => {
    const shell = new TroubledShell(async (words, run) => {
      const result = await run(words);
      if (!words.includes("create")) return result;
      throw new TaskError({ what: "SSH to the node failed", why: "The connection broke" });
    });
    const error = await refused(
      unchanged(async () => await upload({ file: await image(), name: freshName() }, { shell })),
    );
    assert.match(error.left.join("\n"), /Rolled back: VM \d+ removed/);
  });

  test("a VM that is still locked by its import is removed once the lock is gone", async () => {
    let asked = 0;
    const shell = new TroubledShell(async (words, run) => {
      if (words.includes("template") && words[0] === "qm") throw failed("got interrupted");
      if (words[1] === "destroy" && ++asked < 2)
        throw failed("can't lock file '/var/lock/qemu-server/lock-101.conf' - got timeout");
      return await run(words);
    });
    await refused(unchanged(async () => await upload({ file: await image(), name: freshName() }, { shell })));
    assert.equal(asked, 2);
  });

  test("what cannot be removed is named", async () => {
    const name = freshName();
    const shell = new TroubledShell(async (words, run) => {
      if (words.includes("template") && words[0] === "qm") throw failed("no template today");
      if (words[1] === "destroy") throw failed("base volume is still in use");
      return await run(words);
    });
    const { left } = await refused(upload({ file: await image(), name }, { shell }));
    assert.match(left.join("\n"), /Left behind \(not "VM \d+ removed"\): base volume is still in use/);
    const [, byHand = "false"] = /^\$ (ssh .*qm destroy.*)$/m.exec(left.join("\n")) ?? [];
    execFileSync("/bin/sh", ["-c", byHand], { stdio: "ignore" });
    assert.ok((await pve.vms()).every((vm) => vm.name !== name));
  });
});

describe("an upload that was killed", () => {
  const DEAD = "homelab run 0badc0de by";
  /** As an upload marks its VM, by a process of this machine that is gone, or by one of another machine. */
  const mark = (by: string): string =>
    `Being uploaded (0123): ${DEAD} ${by} (process 4194303, start-1) since 2026-11-26T14:57:55Z`;
  const here = `${userInfo().username}@${hostname()}`;

  for (const [when, by] of [
    ["here", here],
    ["on another machine, for its lock is free", "ann@elsewhere"],
  ] as const) {
    test(`leaves a VM that the next one removes: ${when}`, async () => {
      const name = freshName();
      const left = 900;
      await pve.createVm(left, name, { tags: "homelab;k3s;template", description: mark(by) });
      const { metadata, notes } = await upload({ file: await image(), name }, { yes: true });
      assert.deepEqual(
        (await pve.vms()).filter((vm) => vm.name === name).map(({ vmid }) => vmid),
        [metadata?.template_id],
      );
      assert.notEqual(metadata?.template_id, left);
      assert.match(notes.join("\n"), /Removed VM 900 \(.*\), which an interrupted upload has left/);
    });
  }

  test("just before its VM became a template: its notes bear the mark until then", async () => {
    const [name, file] = [freshName(), await image()];
    const shell = new TroubledShell(async (words, run) => {
      if (words[1] === "template" || words[1] === "destroy") throw failed("killed");
      return await run(words);
    });
    await refused(upload({ file, name }, { shell }));
    const [left, ...others] = (await pve.vms()).filter((vm) => vm.name === name && vm.template !== 1);
    assert.ok(left !== undefined && others.length === 0);
    const description = String((await pve.config(left.vmid)).description);
    assert.equal(parseNotes(description)?.version, name);
    // This process lives: the mark says what it would after a kill.
    assert.ok(description.includes(formatMark(runMark())));
    const dead = description.replace(formatMark(runMark()), mark(here).replace(/^.*?: /, ""));
    await pve.call("PUT", `/nodes/pve/qemu/${left.vmid}/config`, { description: dead });
    await upload({ file, name }, { yes: true });
    assert.deepEqual(
      (await pve.vms()).filter((vm) => vm.name === name).map(({ template }) => template),
      [1],
    );
  });

  test("a VM of that name without our mark stays, and is named", async () => {
    const name = freshName();
    for (const more of [
      { tags: "homelab", description: "by hand" },
      { tags: "", description: mark(here) },
    ]) {
      await pve.createVm(901, name, more);
      const { what } = await refused(
        unchanged(async () => await upload({ file: await image(), name }, { yes: true })),
      );
      assert.equal(what, `The name ${name} is taken on the node`);
      await pve.destroy(901);
    }
  });

  test("after the template was made: what was sent goes, and the metadata are written", async () => {
    const [name, file] = [freshName(), await image()];
    const shell = new NodeShell(target());
    shells.push(shell);
    const way = new SshWay(shell);
    const { metadata } = await upload({ file, name });
    const { sha256 } = await readContent(file, { signal: new AbortController().signal, output: () => {} });
    const signal = new AbortController().signal;
    assert.equal(await way.remains(name, signal), false);
    writeFileSync(onNode(`${name}-${sha256.slice(0, 12)}.qcow2`), "sent");
    writeFileSync(onNode(`${name}-${sha256.slice(0, 12)}.qcow2.run`), mark(here));
    writeFileSync(onNode(`${name}.lock`), "");
    rmSync(`${file}.json`);
    assert.equal(await way.remains(name, signal), true);
    const again = await upload({ file, name });
    assert.deepEqual(again.metadata, metadata);
    assert.equal(await way.remains(name, signal), false);
    assert.ok(existsSync(`${file}.json`));
  });
});

function failed(stderr: string): CommandError {
  return new CommandError("ssh", [], { stdout: "", stderr, exitCode: 255 });
}

describe("an upload whose connection ends", () => {
  test("interrupted while the node imports, it waits for the import and removes the VM", async () => {
    const file = await image("data.qcow2");
    const data = Buffer.alloc(48 * 1024 ** 2, "data");
    const size = statSync(file).size - (statSync(file).size % 65_536);
    truncateSync(file, size);
    const clusters = data.length / 65_536;
    const table = Buffer.alloc(65_536);
    for (let at = 0; at < clusters; at += 1) table.writeBigUInt64BE(BigInt(size + (at + 1) * 65_536), at * 8);
    appendFileSync(file, Buffer.concat([table, data]));
    const first = Buffer.alloc(8);
    first.writeBigUInt64BE(BigInt(size));
    const handle = openSync(file, "r+");
    writeSync(handle, first, 0, 8, 3 * 65_536);
    closeSync(handle);

    const interrupt = new AbortController();
    const output = (line: string): void => {
      if (line.startsWith("transferred")) interrupt.abort();
    };
    const error = await refused(
      unchanged(async () => await upload({ file, name: freshName() }, { interrupt, output })),
    );
    assert.ok(error instanceof InterruptedError, error.message);
    assert.match(error.left.join("\n"), /Rolled back: VM \d+ removed/);
  });

  /** A way to the node whose connections end after so many bytes each, the later ones never. */
  async function breaking(
    limits: readonly number[],
  ): Promise<{ shell: NodeShell; close: () => Promise<void> }> {
    const { port, configFile = "" } = target();
    const sockets: Socket[] = [];
    let connections = 0;
    const between = createServer((client) => {
      let left = limits[connections] ?? Number.POSITIVE_INFINITY;
      connections += 1;
      const node = connect(port, "127.0.0.1");
      sockets.push(client, node);
      for (const socket of [client, node]) socket.on("error", () => {});
      client.on("data", (bytes: Buffer) => {
        left -= bytes.length;
        if (left > 0) return;
        client.destroy();
        // What was on its way still arrives, as from a network.
        node.end();
      });
      client.pipe(node).pipe(client);
    });
    await new Promise<void>((resolve) => between.listen(0, "127.0.0.1", resolve));
    const address = between.address();
    assert.ok(typeof address === "object" && address !== null);
    const config = join(dir, `ssh config between ${address.port}`);
    writeFileSync(config, `${readFileSync(configFile, "utf8")}  HostKeyAlias [127.0.0.1]:${port}\n`);
    const shell = new NodeShell({ ...target(), port: address.port, configFile: config });
    return {
      shell,
      close: async () => {
        await shell.close();
        for (const socket of sockets) socket.destroy();
        await new Promise((resolve) => between.close(resolve));
      },
    };
  }

  test("a connection that breaks at nine tenths is made anew, and less than a ninth is sent again", async () => {
    const file = await image("broken.qcow2");
    appendData(file, 40);
    const { size } = statSync(file);
    const { shell, close } = await breaking([0.9 * size]);
    try {
      let sent = 0;
      const notes: string[] = [];
      const name = freshName();
      const content = await readContent(file, { output: () => {}, signal: new AbortController().signal });
      await shell.runLine(`mkdir -p ${UPLOAD_FOLDER}`);
      const remote = uploadPath(name, content.sha256);
      ({ bytes: sent } = await send(shell, file, content, remote, {
        output: () => {},
        note: (line) => void notes.push(line),
        signal: new AbortController().signal,
      }));
      await demandArrived(shell, remote, content.sha256, new AbortController().signal);
      assert.equal(notes.length, 1);
      assert.match(notes[0] ?? "", /^The connection broke and was made anew; going on at [\d.]+ MiB$/);
      const again = sent - bytesAfter(content.extents);
      assert.ok(again > 0 && again < 0.11 * size, `${again} of ${size} bytes were sent again`);
      // And the whole way from there: nothing is sent.
      const { notes: said } = await upload({ file, name });
      assert.match(said.join("\n"), /It lay on the node already, nothing was sent/);
    } finally {
      await close();
    }
  });

  test("one that never gets any further is given up, with what lies on the node", async () => {
    const file = await image("hopeless.qcow2");
    appendData(file, 4);
    const { shell, close } = await breaking([600_000, ...Array.from({ length: 20 }, () => 20_000)]);
    try {
      const error = await refused(
        unchanged(async () => await upload({ file, name: freshName() }, { shell })),
      );
      assert.match(error.what, /^SSH to root@127\.0\.0\.1:\d+ failed$/);
      assert.match(error.why ?? "", /^The connection broke/);
      assert.match(error.todo.join("\n"), /\$ qm create/);
      assert.match(error.left.join("\n"), /on the node in \S+: running this again goes on from there/);
    } finally {
      await close();
    }
  });

  test("zeros are not sent, and arrive as zeros", async () => {
    const file = await image("sparse.qcow2");
    const { size } = statSync(file);
    truncateSync(file, size - (size % 65_536) + 64 * 1024 ** 2);
    appendData(file, 4);
    truncateSync(file, statSync(file).size + 32 * 1024 ** 2);
    const name = freshName();
    const signal = new AbortController().signal;
    const content = await readContent(file, { output: () => {}, signal });
    const shell = new NodeShell(target());
    shells.push(shell);
    const remote = uploadPath(name, content.sha256);
    const { bytes } = await send(shell, file, content, remote, { output: () => {}, signal });
    assert.ok(bytes < 6 * 1024 ** 2, `${bytes} bytes were sent`);
    await demandArrived(shell, remote, content.sha256, signal);
    assert.equal(statSync(onNode(remote.split("/").at(-1))).size, content.size);
  });
});

describe("uploads among others", () => {
  test("a file's name may hold spaces, quotes, $( ) and a line break", async () => {
    const name = freshName();
    const file = await image('it\'s "my" $(touch hacked) `image`\n;.qcow2');
    const { metadata } = await upload({ file, name });
    assert.equal(metadata?.qcow2_path, file);
    assert.deepEqual(parseNotes(String((await templateOf(name)).description)), metadata);
    assert.deepEqual(JSON.parse(readFileSync(`${file}.json`, "utf8")), metadata);
  });

  /** Shells whose uploads ask for a free number at the same moment, and are told the same one. */
  function together(): [NodeShell, NodeShell] {
    let asked = 0;
    let everybody = (): void => {};
    const bothAsked = new Promise<void>((resolve) => {
      everybody = resolve;
    });
    const shell = (): NodeShell =>
      new TroubledShell(async (words, run) => {
        const result = await run(words);
        if (words[0] !== "pvesh") return result;
        asked += 1;
        if (asked === 2) everybody();
        await bothAsked;
        return result;
      });
    return [shell(), shell()];
  }

  test("two at once do not hurt each other, though both are told the same free number", async () => {
    const uploads = [
      { name: freshName(), file: await image("one.qcow2") },
      { name: freshName(), file: await image("two.qcow2") },
    ];
    const both = together();
    const made = await Promise.all(uploads.map(async (one, at) => await upload(one, { shell: both[at] })));
    assert.notEqual(made[0]?.metadata?.template_id, made[1]?.metadata?.template_id);
    for (const { name, file } of uploads) {
      assert.equal(parseNotes(String((await templateOf(name)).description))?.qcow2_path, file);
      assert.deepEqual(remainders(name), []);
    }
  });

  test("of two at once with one name, one becomes the template and the other is told who is at it", async () => {
    const name = freshName();
    const files = [await image("three.qcow2"), await image("four.qcow2")];
    const results = await Promise.allSettled(files.map(async (file) => await upload({ file, name })));
    const lost = results.flatMap((result) =>
      result.status === "rejected" ? [result.reason as TaskError] : [],
    );
    assert.equal(lost.length, 1, JSON.stringify(results));
    assert.equal(lost[0]?.what, `Another upload of ${name} is under way`);
    assert.match(
      lost[0]?.why ?? "",
      /^It is homelab run [0-9a-f]{8} by \S+@\S+ \(process \d+, \S+\) since \d{4}-/,
    );
    assert.equal((await templateOf(name)).template, 1);
    assert.deepEqual(remainders(name), []);
  });

  test("a VM of the same name that comes while we are at work is left to whoever made it", async () => {
    const name = freshName();
    const shell = new TroubledShell(async (words, run) => {
      const result = await run(words);
      // Between the check of the name and our VM, which gets the next number.
      if (words[0] === "pvesh") await pve.createVm(302, name);
      return words[0] === "pvesh" ? { ...result, stdout: "303\n" } : result;
    });
    const { what, why } = await refused(upload({ file: await image("late.qcow2"), name }, { shell }));
    assert.equal(what, `The name ${name} is taken on the node`);
    assert.match(why ?? "", /VM 302 got it while we were at work/);
    assert.deepEqual(
      (await pve.vms()).filter((vm) => vm.name === name).map(({ vmid }) => vmid),
      [302],
    );
    await pve.destroy(302);
  });

  test("a number that somebody else got first is left to him", async () => {
    const name = freshName();
    let asked = 0;
    const shell = new TroubledShell(async (words, run) => {
      if (words[0] !== "pvesh" || ++asked > 1) return await run(words);
      return { stdout: "100\n", stderr: "", exitCode: 0 };
    });
    const was = await pve.config(100);
    await upload({ file: await image(), name }, { shell });
    assert.equal(asked, 2);
    assert.deepEqual(await pve.config(100), was);
    assert.equal((await templateOf(name)).template, 1);
  });

  test("a file of somebody else beside the image is left as it is, and said", async () => {
    const file = await image("mine.qcow2");
    writeFileSync(`${file}.json`, '{"mine": true}\n');
    const { notes } = await upload({ file, name: freshName() });
    assert.match(
      notes.join("\n"),
      /in its notes alone: \S+mine\.qcow2\.json holds something else and was left/,
    );
    assert.equal(readFileSync(`${file}.json`, "utf8"), '{"mine": true}\n');
  });

  test("a folder that takes no file costs no template", async () => {
    const name = freshName();
    const file = await image("folder.qcow2");
    mkdirSync(`${file}.json`);
    const { notes } = await upload({ file, name });
    assert.match(notes.join("\n"), /could not be written \(EISDIR/);
    assert.equal((await templateOf(name)).template, 1);
  });

  test("metadata of an earlier upload are replaced", async () => {
    const file = await image("again.qcow2");
    await upload({ file, name: freshName() });
    const name = freshName();
    const { metadata } = await upload({ file, name });
    assert.equal(metadata?.version, name);
    assert.deepEqual(JSON.parse(readFileSync(`${file}.json`, "utf8")), metadata);
  });
});
