import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { cloudInitWords, createWords, importWords, Qm } from "../../lib/proxmox/qm.ts";
import { quoteWords } from "../../lib/proxmox/quote.ts";
import { NodeShell } from "../../lib/proxmox/ssh.ts";
import { parseVmid, type TemplatePlan } from "../../lib/proxmox/vm-maker.ts";
import { type Sandbox, startSandbox } from "../../lib/sandbox/index.ts";
import { createQcow2 } from "../../lib/sandbox/world/index.ts";
import { execute, type Finished, onNode, sshOptions } from "../support/ssh.ts";

const MIB = 1024 ** 2;
const IMAGE = "alma9-k3-node-amd64-v1.35.6-v1";
const base = mkdtempSync(join(tmpdir(), "homelab-node-"));
let sandbox: Sandbox;
/** What the sandbox's process says on stderr: warnings of Node's, for instance. */
const complaints: string[] = [];

before(async () => {
  sandbox = await startSandbox({ dir: join(base, "sandbox"), log: (line) => complaints.push(line) });
});
after(async () => {
  await sandbox?.stop();
  rmSync(base, { recursive: true, force: true });
});

/** A command line on the node. */
async function run(line: string, input?: string | Buffer): Promise<Finished> {
  return await onNode(sandbox.endpoints, line, input);
}

/** The same, which has to succeed without a complaint; its stdout. */
async function say(...words: string[]): Promise<string> {
  const line = quoteWords(words);
  const { exit, stdout, stderr } = await run(line);
  assert.deepEqual({ exit, stderr }, { exit: 0, stderr: "" }, line);
  return stdout;
}

/** Where the node is, for programs that take no port of their own. */
function remote(path: string): string {
  const { sshUser, sshHost } = sandbox.endpoints;
  return `${sshUser}@${sshHost}:${path}`;
}

function sha256(content: Buffer): string {
  return createHash("sha256").update(content).digest("hex");
}

function localFile(name: string, content: string | Buffer): string {
  const file = join(base, name);
  writeFileSync(file, content, { mode: 0o600 });
  return file;
}

describe("the node's commands over SSH", () => {
  test("make a template from an image as upload-image does, and VMs from it", async () => {
    assert.match(await say("pveversion"), /^pve-manager\/9\.\d+\.\d+\//);
    assert.match(await say("pvesm", "status"), /^vmdata +dir +active +\d+ +\d+ +\d+ +[\d.]+%$/m);
    const vmid = parseVmid((await say("pvesh", "get", "/cluster/nextid")).trim());
    assert.ok(Number((await say("df", "-B1", "--output=avail", "/var/tmp")).split("\n")[1]) > MIB);

    const image = join(base, "image.qcow2");
    await createQcow2(image, 8 * 1024 * MIB);
    const imagePath = `/var/tmp/${IMAGE}.qcow2`;
    const sent = await run(`umask 077; cat > ${imagePath}`, readFileSync(image));
    assert.deepEqual(sent, { exit: 0, stdout: "", stderr: "" });
    assert.equal(await say("sha256sum", imagePath), `${sha256(readFileSync(image))}  ${imagePath}\n`);

    const notes = `Golden image "${IMAGE}"\n\nit's 100% ours; $HOME, größer & <better>`;
    const plan: TemplatePlan = { vmid, name: IMAGE, storage: "vmdata", bridge: "vmbr0", imagePath, notes };
    await say(...createWords(plan));
    assert.match(
      await say(...importWords(plan)),
      /^scsi0: successfully created disk 'vmdata:100\/vm-100-disk-1\.raw,discard=on,iothread=1,size=8G,ssd=1'$/m,
    );
    await say(...cloudInitWords(plan));
    await say("qm", "template", String(vmid));
    await say("rm", "-f", imagePath);
    assert.equal((await run(`test -e ${imagePath}`)).exit, 1);

    await say("qm", "clone", "100", "101", "--name", "k3s-s1", "--full", "1", "--storage", "vmdata");
    await say("qm", "resize", "101", "scsi0", "+4G");
    await say("qm", "set", "101", "--cores", "1", "--memory", "1024", "--tags", "a;b");
    await say("qm", "start", "101");
    assert.equal(await say("qm", "status", "101"), "status: running\n");
    assert.match(await say("qm", "list"), /^ +101 k3s-s1 +running +1024 +12\.00 [1-9]\d+ +$/m);
    assert.deepEqual(await run("qm destroy 101"), {
      exit: 25,
      stdout: "",
      stderr: "VM 101 is running - destroy failed\n",
    });
    await say("qm", "stop", "101");
    await say("qm", "destroy", "101", "--purge", "1", "--destroy-unreferenced-disks", "1");
    assert.doesNotMatch(await say("pvesm", "list", "vmdata"), /vm-101-/);

    const shell = new NodeShell({
      host: sandbox.endpoints.sshHost,
      port: sandbox.endpoints.sshPort,
      user: sandbox.endpoints.sshUser,
      configFile: sandbox.endpoints.sshConfigFile,
    });
    try {
      const { template, description, scsi0 } = await new Qm(shell).config(vmid);
      assert.equal(template, "1");
      assert.equal(description, notes);
      assert.equal(scsi0, "vmdata:100/base-100-disk-1.raw,discard=on,iothread=1,size=8G,ssd=1");
    } finally {
      await shell.close();
    }
  });

  for (const [line, expected] of [
    ["exit 3", { exit: 3, stdout: "", stderr: "" }],
    ["false || echo 'no'; true && echo yes", { exit: 0, stdout: "no\nyes\n", stderr: "" }],
    [`echo 'it'\\''s' "a  b" c\\ d "\\$HOME"`, { exit: 0, stdout: "it's a  b c d $HOME\n", stderr: "" }],
    ["echo out; echo err >&2; false", { exit: 1, stdout: "out\n", stderr: "err\n" }],
    ["echo gone 2>/dev/null >/dev/null", { exit: 0, stdout: "", stderr: "" }],
    ["echo piped | cat | cat", { exit: 0, stdout: "piped\n", stderr: "" }],
    ["command -v qm && command -v nope", { exit: 1, stdout: "/usr/sbin/qm\n", stderr: "" }],
    ["zpool status", { exit: 127, stdout: "", stderr: "bash: line 1: zpool: command not found\n" }],
    ["cat /nope", { exit: 1, stdout: "", stderr: "cat: /nope: No such file or directory\n" }],
    ["cat < /nope", { exit: 1, stdout: "", stderr: "bash: line 1: /nope: No such file or directory\n" }],
    [
      "echo x > /nope/x",
      { exit: 1, stdout: "", stderr: "bash: line 1: /nope/x: No such file or directory\n" },
    ],
    [
      "cat /../../../etc/passwd",
      { exit: 1, stdout: "", stderr: "cat: /../../../etc/passwd: No such file or directory\n" },
    ],
    ["rm /nope", { exit: 1, stdout: "", stderr: "rm: cannot remove '/nope': No such file or directory\n" }],
  ] as const) {
    test(`"${line}" ends as on a real node`, async () => {
      assert.deepEqual(await run(line), expected);
    });
  }

  test("a command of qm that the sandbox lacks is said to be unknown", async () => {
    const stderr = "ERROR: unknown command 'qm nonsense'\n";
    assert.deepEqual(await run("qm nonsense"), { exit: 255, stdout: "", stderr });
  });

  test("a line that asks for an expansion is refused instead of being taken literally", async () => {
    const { exit, stdout, stderr } = await run("rm -rf $HOME");
    assert.deepEqual({ exit, stdout }, { exit: 2, stdout: "" });
    assert.match(stderr, /there are no expansions/);
  });

  test("without a command there is no shell, which is said", async () => {
    const { sshUser, sshHost } = sandbox.endpoints;
    const { exit, stderr } = await execute("ssh", [
      ...sshOptions(sandbox.endpoints),
      "-T",
      `${sshUser}@${sshHost}`,
    ]);
    assert.equal(exit, 1);
    assert.match(stderr, /homelab sandbox: single commands work here/);
  });
});

describe("files of a few MiB arrive unharmed", () => {
  const content = randomBytes(5 * MIB + 17);

  for (const [tool, more] of [
    ["scp", []],
    ["scp's old protocol", ["-O"]],
  ] as const) {
    test(`by ${tool}, there and back`, async () => {
      const file = localFile("scp.bin", content);
      const options = [...sshOptions(sandbox.endpoints), ...more];
      const there = await execute("scp", [...options, file, remote("/var/tmp")]);
      assert.equal(there.exit, 0, there.stderr);
      assert.match(await say("sha256sum", "/var/tmp/scp.bin"), new RegExp(`^${sha256(content)} `));
      const back = join(base, "back.bin");
      const again = await execute("scp", [...options, remote("/var/tmp/scp.bin"), back]);
      assert.equal(again.exit, 0, again.stderr);
      assert.equal(sha256(readFileSync(back)), sha256(content));
      await say("rm", "/var/tmp/scp.bin");
      const missing = await execute("scp", [...options, remote("/var/tmp/scp.bin"), back]);
      assert.equal(missing.exit, 1);
      assert.match(
        missing.stderr,
        /scp: (?:remote open )?"?\/var\/tmp\/scp\.bin"?: No such file or directory/,
      );
    });
  }

  test("by sftp, with directories, renaming and removing", async () => {
    const file = localFile("sftp.bin", content);
    const back = join(base, "sftp-back.bin");
    const { sshUser, sshHost } = sandbox.endpoints;
    const batch = [
      "mkdir /var/tmp/d",
      `put ${file} /var/tmp/d/a`,
      "rename /var/tmp/d/a /var/tmp/d/b",
      "ls -l /var/tmp/d",
      `get /var/tmp/d/b ${back}`,
      "rm /var/tmp/d/b",
      "rmdir /var/tmp/d",
    ];
    const { exit, stdout, stderr } = await execute(
      "sftp",
      [...sshOptions(sandbox.endpoints), "-b", "-", `${sshUser}@${sshHost}`],
      { input: `${batch.join("\n")}\n` },
    );
    assert.equal(exit, 0, stderr);
    assert.match(stdout, new RegExp(`^-rw.* ${content.length} .*b$`, "m"));
    assert.equal(sha256(readFileSync(back)), sha256(content));
  });

  test("through a pipe into cat, and out of it", async () => {
    await run("cat > /var/tmp/pipe.bin", content);
    assert.equal(await say("stat", "-c", "%s %a", "/var/tmp/pipe.bin"), `${content.length} 600\n`);
    assert.match(
      await say("sh", "-c", "cat /var/tmp/pipe.bin | sha256sum"),
      new RegExp(`^${sha256(content)} `),
    );
    assert.equal((await run("cat /var/tmp/pipe.bin | true")).exit, 0, "nobody reads it to the end");
    await say("rm", "/var/tmp/pipe.bin");
  });
});

describe("only who should gets in", () => {
  test("another key is refused, and so is another user", async () => {
    const key = join(base, "other-key");
    await execute("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);
    const config = localFile(
      "other-config",
      readFileSync(sandbox.endpoints.sshConfigFile, "utf8").replace(
        /IdentityFile .*/,
        `IdentityFile "${key}"`,
      ),
    );
    const stranger = await onNode({ ...sandbox.endpoints, sshConfigFile: config }, "pveversion");
    assert.equal(stranger.exit, 255);
    assert.match(stranger.stderr, /root@127\.0\.0\.1: Permission denied \(publickey\)/);
    const user = await onNode({ ...sandbox.endpoints, sshUser: "admin" }, "pveversion");
    assert.equal(user.exit, 255);
    assert.match(user.stderr, /Permission denied \(publickey\)/);
  });

  test("a node with another host key than the known one is not trusted", async () => {
    const key = join(base, "host-key");
    await execute("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);
    const [type, changed] = readFileSync(`${key}.pub`, "utf8").split(" ");
    const known = localFile("known_hosts", `[127.0.0.1]:${sandbox.endpoints.sshPort} ${type} ${changed}\n`);
    const config = localFile(
      "changed-config",
      readFileSync(sandbox.endpoints.sshConfigFile, "utf8").replace(
        /UserKnownHostsFile .*/,
        `UserKnownHostsFile "${known}"`,
      ),
    );
    const { exit, stderr } = await onNode({ ...sandbox.endpoints, sshConfigFile: config }, "pveversion");
    assert.equal(exit, 255);
    assert.match(stderr, /REMOTE HOST IDENTIFICATION HAS CHANGED/);
  });

  test("nothing of it listens beyond loopback", async (t) => {
    const outside = Object.values(networkInterfaces())
      .flat()
      .find((address) => address?.family === "IPv4" && !address.internal);
    if (outside === undefined) return t.skip("this machine has loopback only");
    const { apiUrl, sshPort } = sandbox.endpoints;
    for (const port of [Number(new URL(apiUrl).port), sshPort]) {
      await assert.rejects(
        new Promise((resolve, reject) => {
          connect(port, outside.address).once("connect", resolve).once("error", reject);
        }),
        { code: "ECONNREFUSED" },
      );
    }
  });
});

describe("many connections", () => {
  test("at once work, each by itself and all over one shared connection", async () => {
    const control = join(base, "c");
    const shared = ["-o", "ControlMaster=auto", "-o", `ControlPath=${control}`, "-o", "ControlPersist=30"];
    const { sshUser, sshHost } = sandbox.endpoints;
    const target = `${sshUser}@${sshHost}`;
    const options = [...sshOptions(sandbox.endpoints), ...shared];
    try {
      const first = await execute("ssh", [...options, "-f", target, "true"]);
      assert.equal(first.exit, 0, first.stderr);
      const lines = Array.from({ length: 12 }, (_, index) => `echo ${index}; cat`);
      const results = await Promise.all(
        lines.map(async (line, index) =>
          index % 2 === 0
            ? await run(line, "in")
            : await execute("ssh", [...options, target, line], { input: "in" }),
        ),
      );
      assert.deepEqual(
        results.map(({ stdout }) => stdout),
        lines.map((_, index) => `${index}\nin`),
      );
      const check = await execute("ssh", [...options, "-O", "check", target]);
      assert.equal(check.exit, 0, "the shared connection was not kept");
    } finally {
      await execute("ssh", [...options, "-O", "exit", target]);
    }
  });

  test("that break off in the middle of a transfer leave the node alive", async () => {
    const { sshUser, sshHost } = sandbox.endpoints;
    const target = [...sshOptions(sandbox.endpoints), `${sshUser}@${sshHost}`];
    await run("cat > /var/tmp/full.bin", randomBytes(8 * MIB));
    const half = join(sandbox.dir, "rootfs/var/tmp/half.bin");
    // Their stdin stays open: by themselves they would never end.
    const sending = await execute("ssh", [...target, "cat > /var/tmp/half.bin"], {
      input: randomBytes(4 * MIB),
      keepOpen: true,
      started: async (child) => {
        while (!existsSync(half) || statSync(half).size === 0) await sleep(5);
        child.kill("SIGKILL");
      },
    });
    const receiving = await execute("ssh", [...target, "cat /var/tmp/full.bin; cat"], {
      keepOpen: true,
      started: (child) => child.stdout?.once("data", () => child.kill("SIGKILL")),
    });
    assert.deepEqual([sending.exit, receiving.exit], [null, null]);
    assert.equal(await say("echo", "alive"), "alive\n");
    await say("rm", "-f", "/var/tmp/half.bin", "/var/tmp/full.bin");
    assert.doesNotMatch(readFileSync(join(sandbox.dir, "sandbox.log"), "utf8"), /failed: .*Error/);
    assert.deepEqual(complaints, []);
  });
});
