import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { setMaxListeners } from "node:events";
import {
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { after, before, describe, test } from "node:test";
import { TaskError } from "../../lib/errors.ts";
import { run } from "../../lib/process.ts";
import { type ImageMetadata, NodeShell, SshWay } from "../../lib/proxmox/index.ts";
import { type Sandbox, startSandbox } from "../../lib/sandbox/index.ts";
import { runSteps } from "../../lib/task/run.ts";
import { uploadSteps } from "../../tasks/upload-image.ts";
import {
  type BuildRequest,
  type Built,
  buildImage,
  cdDevices,
  diskDevices,
  imageTools,
  type K3sReleases,
  LOADER_LINE,
  makeInstallerIso,
  missingForBuild,
  STEPS,
  serveK3sRelease,
  type Unpacked,
  unpackImage,
  untilConsoleSays,
} from "../support/installer-iso/index.ts";
import { kubernetesTools } from "../support/kubernetes.ts";
import { PveApi } from "../support/pve.ts";
import { onNode } from "../support/ssh.ts";

/**
 * The golden image, built: the real Packer types into the real firmware's boot loader, and everything from the kickstart to the
 * qcow2 is ours. What AlmaLinux would do is played by test/support/installer-iso.
 */

const K3S_VERSION = "v1.35.6+k3s1";
const NAME = "alma9-k3-node-amd64-v1.35.6-v7";
const PASSWORD = "only-for-this-build-0123";
const GIB = 1024 ** 3;
const MINUTE = 60_000;

const base = mkdtempSync(join(tmpdir(), "homelab-build-"));
const abort = new AbortController();
setMaxListeners(0, abort.signal);
const servers: K3sReleases[] = [];

let good: Promise<Built>;
let badAssertion: Promise<Built>;
let badStep: Promise<Built>;

async function prepare(): Promise<Omit<BuildRequest, "work" | "k3sReleasesUrl">> {
  const isoPath = join(base, "installer.iso");
  const [tools] = await Promise.all([imageTools(), makeInstallerIso(isoPath, folder("iso"))]);
  const hash = createHash("sha256");
  await pipeline(createReadStream(isoPath), hash);
  const started = performance.now();
  await untilConsoleSays(/Install AlmaLinux/, {
    firmware: "uefi",
    devices: cdDevices(isoPath),
    work: folder("menu"),
    timeoutMs: 2 * MINUTE,
  });
  return {
    tools,
    name: NAME,
    k3sVersion: K3S_VERSION,
    iso: { path: isoPath, sha256: hash.digest("hex") },
    // Two builds share the machine, and the menu waits for a minute.
    bootWait: Math.min(50, Math.ceil((2 * (performance.now() - started)) / 1000)),
    password: PASSWORD,
    signal: abort.signal,
  };
}

function folder(name: string): string {
  const path = join(base, name);
  mkdirSync(path);
  return path;
}

/** Start a build on a server of its own for k3s' release. */
async function build(
  name: string,
  prepared: Promise<Omit<BuildRequest, "work" | "k3sReleasesUrl">>,
  trouble: Parameters<typeof serveK3sRelease>[1],
  variables: Readonly<Record<string, string>> = {},
): Promise<Built> {
  const request = await prepared;
  const releases = await serveK3sRelease(K3S_VERSION, trouble);
  servers.push(releases);
  return await buildImage({
    ...request,
    k3sReleasesUrl: releases.guestUrl,
    work: folder(name),
    variables,
  });
}

const missing = missingForBuild();
describe("a real image build", { skip: missing && `no image can be built here: ${missing}` }, () => {
  before(() => {
    const prepared = prepare();
    good = build("good", prepared, {});
    // By CD, with an address of its own; k3s leaves what only one that was started leaves.
    badAssertion = build(
      "bad-assertion",
      prepared,
      { runs: "mkdir -p /etc/rancher/k3s && : >/etc/rancher/k3s/k3s.yaml" },
      {
        kickstart_delivery: "cd",
        build_ip: "10.0.2.15/24",
        build_gateway: "10.0.2.2",
        build_nameserver: "10.0.2.3",
      },
    );
    badStep = good.then(async () => await build("bad-step", prepared, { damaged: true }));
    // Whoever waits for them is told; until then nobody may be told by Node.
    for (const each of [good, badAssertion, badStep]) each.catch(() => {});
  });
  after(async () => {
    abort.abort();
    await Promise.allSettled([good, badAssertion, badStep]);
    await Promise.all(servers.map(async (server) => await server.close()));
    rmSync(base, { recursive: true, force: true });
  });

  describe("that succeeds", () => {
    let built: Built;
    let image: Unpacked;
    const at = (name: string): string => join(image.root, name);
    const read = (name: string): string => readFileSync(at(name), "utf8");

    before(async () => {
      built = await good;
    });

    test("types into the menu's first entry, and serves the kickstart over HTTP", (t) => {
      assert.equal(built.error, undefined, reasonOf(built));
      assert.match(built.serial, /installer: started with BOOT_IMAGE=\S+ inst\.stage2=\S+ quiet inst\.text /);
      assert.doesNotMatch(built.serial, /installer: started with .*rd\.live\.check/);
      assert.match(built.serial, /installer: kickstart from http:\/\/10\.0\.2\.2:\d+\/ks\.cfg/);
      t.diagnostic(`step times: ${timesOf(built)}`);
    });

    test("runs the provisioners in their order", () => {
      assert.deepEqual(stepsOf(built, "begin"), STEPS);
      assert.deepEqual(stepsOf(built, "done"), STEPS);
    });

    test("writes a qcow2 that is sound, and the manifest of it", async (t) => {
      const info = await qemuImg("info", built.qcow2);
      assert.equal(info.format, "qcow2");
      assert.equal(info["virtual-size"], 2 * GIB);
      const check = await qemuImg("check", built.qcow2);
      assert.equal(check["check-errors"], 0);
      const bytes = statSync(built.qcow2).size;
      // What is on it is some 50 MiB: the rest was trimmed away.
      assert.ok(bytes < 128 * 1024 ** 2, `${bytes} bytes`);
      const [made] = (
        JSON.parse(readFileSync(join(built.logs, "manifest.json"), "utf8")) as {
          builds: { files: { name: string; size: number }[]; custom_data: Record<string, string> }[];
        }
      ).builds;
      assert.deepEqual(made?.custom_data, {
        image_version: NAME,
        k3s_version: K3S_VERSION,
        arch: "amd64",
        firmware: "uefi",
        builder: "qemu",
      });
      assert.ok(made?.files.some((file) => file.name === built.qcow2 && file.size === bytes));
      t.diagnostic(
        `qcow2: ${(bytes / 1024 ** 2).toFixed(1)} MiB of ${2 * 1024} MiB (${((100 * bytes) / (2 * GIB)).toFixed(1)} %)`,
      );
    });

    test("partitions the disk as the kickstart says, root last", async () => {
      image = await unpackImage(built.qcow2, folder("unpacked"));
      assert.deepEqual(
        image.partitions.map(({ kind }) => kind),
        ["biosboot", "esp", "linux", "linux"],
      );
      const [biosboot, esp, boot, root] = image.partitions;
      assert.equal(biosboot?.start, 1024 ** 2);
      assert.ok((esp?.bytes ?? 0) >= 200 * 1024 ** 2);
      assert.ok((boot?.bytes ?? 0) >= GIB);
      assert.equal(Math.max(...image.partitions.map(({ start }) => start)), root?.start);
    });

    test("asserts the cleaned system last", () => {
      const calls = read("usr/lib/stand-ins/record").trim().split("\n");
      const first = (call: string): number => calls.findIndex((each) => each.startsWith(call));
      const order = [
        "dnf -y --refresh",
        "systemctl enable qemu-guest-agent.service",
        "systemctl enable k3s.service",
        "dnf clean all",
        "cloud-init clean",
        "fstrim",
      ].map(first);
      assert.ok(
        order.every((place) => place >= 0),
        `${order} in ${calls.join("\n")}`,
      );
      assert.deepEqual(
        order.toSorted((one, other) => one - other),
        order,
      );
      const after = calls.slice(calls.findLastIndex((call) => call.startsWith("fstrim")) + 1);
      const questions =
        /^(rpm -q|systemctl (is-enabled|is-active|show)|cloud-init --version|getenforce|lsinitrd|sysctl)/;
      assert.deepEqual(
        after.filter((call) => !questions.test(call)),
        ["poweroff"],
      );
      assert.ok(after.includes("systemctl is-enabled k3s.service"));
    });

    test("leaves neither identity nor credentials on the disk", async () => {
      assert.equal(read("etc/machine-id"), "");
      assert.deepEqual(
        readdirSync(at("etc/ssh")).filter((name) => name.startsWith("ssh_host_")),
        [],
      );
      assert.match(read("etc/shadow"), /^root:!!:/m);
      for (const gone of [
        "var/lib/dbus/machine-id",
        "var/lib/cloud/instance",
        "var/lib/cloud/instances",
        "var/lib/systemd/random-seed",
        "etc/hostname",
        "etc/ssh/sshd_config.d/01-permitrootlogin.conf",
        "root/.ssh",
        "root/.bash_history",
        "root/anaconda-ks.cfg",
        "root/original-ks.cfg",
        "root/ks-post.log",
        "core.1234",
      ]) {
        assert.ok(!existsSync(at(gone)), gone);
      }
      // Not even in blocks that belong to no file any more.
      for (const secret of [PASSWORD, "b3BlbnNzaC1rZXktdjE"]) {
        const { exitCode } = await run("grep", ["-aqF", secret, join(base, "unpacked", "disk.raw")], {
          allow: [0, 1],
        });
        assert.equal(exitCode, 1, `${secret} is still on the disk`);
      }
    });

    test("leaves nothing of the installation and the build", () => {
      for (const emptied of [
        "tmp",
        "var/tmp",
        "var/log/journal",
        "var/log/audit",
        "etc/NetworkManager/system-connections",
      ])
        assert.deepEqual(readdirSync(at(emptied)), [], emptied);
      const logs = readdirSync(at("var/log"), { recursive: true, withFileTypes: true });
      const filled = logs.filter((log) => log.isFile() && statSync(join(log.path, log.name)).size > 0);
      assert.deepEqual(
        filled.map(({ name }) => name),
        [],
      );
      assert.ok(!existsSync(at("var/log/anaconda")));
      const cache = readdirSync(at("var/cache/dnf"), { recursive: true, withFileTypes: true });
      assert.deepEqual(
        cache.filter((entry) => entry.isFile()),
        [],
      );
      // One kernel of two, and no rescue image.
      const kernels = readdirSync(image.boot).filter((name) => name.startsWith("vmlinuz-"));
      assert.deepEqual(kernels, ["vmlinuz-5.14.0-503.11.1.el9_5.x86_64"]);
      assert.equal(readdirSync(join(image.boot, "loader/entries")).length, 1);
      assert.ok(existsSync(join(image.esp, "EFI", "BOOT", "BOOTX64.EFI")));
    });

    test("has a k3s that never ran and downloads nothing at its first start", () => {
      assert.match(read("usr/local/bin/k3s"), /k3s version v1\.35\.6\+k3s1/);
      assert.ok(existsSync(at("var/lib/rancher/k3s/agent/images/k3s-airgap-images-amd64.tar.zst")));
      assert.ok(!existsSync(at("var/lib/rancher/k3s/server")));
      assert.equal(read("usr/lib/stand-ins/state/units/k3s.service.enabled"), "enabled\n");
      assert.ok(!existsSync(at("usr/lib/stand-ins/state/units/k3s.service.active")));
    });

    for (const [firmware, platform] of [
      ["uefi", "efi"],
      ["bios", "pc"],
    ] as const) {
      test(`boots with the firmware ${firmware}`, async (t) => {
        const started = performance.now();
        const text = await untilConsoleSays(LOADER_LINE, {
          firmware,
          devices: diskDevices(built.qcow2),
          work: folder(`boot-${firmware}`),
          timeoutMs: 2 * MINUTE,
        });
        assert.equal(LOADER_LINE.exec(text)?.[1], platform);
        t.diagnostic(`${firmware}: the loader after ${Math.round((performance.now() - started) / 1000)} s`);
      });
    }

    test("becomes a template whose clones are different machines", async (t) => {
      await kubernetesTools();
      const sandbox = await startSandbox({ dir: join(base, "sandbox") });
      try {
        const metadata = await upload(sandbox, built.qcow2);
        const api = new PveApi(sandbox.endpoints);
        const identities: string[] = [];
        for (const newid of [201, 202]) {
          await api.task("POST", `/nodes/pve/qemu/${metadata.template_id}/clone`, {
            newid,
            name: `k3s-s${newid}`,
            full: 1,
          });
          await api.call("PUT", `/nodes/pve/qemu/${newid}/config`, {
            ciuser: "admin",
            ipconfig0: `ip=10.23.45.${newid}/24,gw=10.23.45.1`,
          });
          await api.task("POST", `/nodes/pve/qemu/${newid}/status/start`);
          identities.push(await identityOf(sandbox, newid));
        }
        const [one = "", other = ""] = identities.map((each) => each.trim());
        assert.match(one, /^[0-9a-f]{32}\nssh-ed25519 /);
        assert.match(other, /^[0-9a-f]{32}\nssh-ed25519 /);
        const same = one.split(/\s+/).filter((word) => word.length > 30 && other.includes(word));
        assert.deepEqual(same, []);
        t.diagnostic(`two clones share ${same.length} of machine-id and SSH host key`);
      } finally {
        await sandbox.stop();
      }
    });
  });

  test("a failing assertion on the finished system fails the build and names itself; no image is left", async (t) => {
    const built = await badAssertion;
    // The kickstart came from the volume, and what it says of the address was done: nobody asked for a lease.
    assert.match(built.serial, /installer: kickstart from the volume OEMDRV/, reasonOf(built));
    assert.doesNotMatch(built.serial, /udhcpc/);
    assert.deepEqual(stepsOf(built, "begin"), STEPS);
    assert.ok(built.error instanceof TaskError);
    assert.equal(built.error.what, 'The image was not built: "verify" failed');
    const named = built.said.filter((line) => line.startsWith("verify: "));
    assert.ok(named.length > 0);
    assert.deepEqual(
      named.filter((line) => !line.includes("File: /etc/rancher/k3s/k3s.yaml: exists")),
      [],
    );
    assert.match(
      readFileSync(join(built.logs, "failed-step.log"), "utf8"),
      /^not ok .*\/etc\/rancher\/k3s\/k3s\.yaml/m,
    );
    assert.ok(!existsSync(built.output));
    t.diagnostic(`step times: ${timesOf(built)}`);
  });

  test("a failing provisioner fails the build and names itself; no image is left", async () => {
    const built = await badStep;
    assert.deepEqual(stepsOf(built, "begin"), ["os-update", "guest-agent", "k3s-install"], reasonOf(built));
    assert.ok(built.error instanceof TaskError);
    assert.equal(built.error.what, 'The image was not built: "k3s-install" failed');
    assert.match(
      built.said.join("\n"),
      /the checksum of http\S+\/k3s is [0-9a-f]{64}, its release says [0-9a-f]{64}/,
    );
    assert.match(
      readFileSync(join(built.logs, "failed-step.log"), "utf8"),
      /error: the checksum of .*, its release says/,
    );
    assert.ok(!existsSync(built.output));
  });

  test("a failure says why", async () => {
    const [assertion, step] = [(await badAssertion).error, (await badStep).error];
    assert.ok(assertion instanceof TaskError && step instanceof TaskError);
    assert.match(assertion.why ?? "", /File: \/etc\/rancher\/k3s\/k3s\.yaml: exists/);
    assert.match(step.why ?? "", /the checksum of http\S+\/k3s is [0-9a-f]{64}/);
  });
});

function stepsOf({ said }: Built, what: "begin" | "done"): string[] {
  return said.flatMap((line) => new RegExp(`^homelab-step: (\\S+): ${what}$`).exec(line)?.[1] ?? []);
}

function timesOf({ times }: Built): string {
  return Object.entries(times)
    .map(([part, ms]) => `${part} ${(ms / 1000).toFixed(1)} s`)
    .join(", ");
}

function reasonOf({ error, said }: Built): string {
  return `${error instanceof TaskError ? `${error.what}: ${error.why}` : String(error)}\n${said.slice(-30).join("\n")}`;
}

async function qemuImg(command: string, file: string): Promise<Record<string, unknown>> {
  const { stdout } = await run("qemu-img", [command, "--output=json", file]);
  return JSON.parse(stdout) as Record<string, unknown>;
}

async function upload({ endpoints }: Sandbox, file: string): Promise<ImageMetadata> {
  const {
    sshHost: host,
    sshUser: user,
    sshPort: port,
    sshConfigFile: configFile,
    storage,
    bridge,
  } = endpoints;
  const shell = new NodeShell({ host, user, port, configFile });
  let metadata: ImageMetadata | undefined;
  const done = (made: ImageMetadata): void => {
    metadata = made;
  };
  const steps = uploadSteps(
    { file, name: NAME, k3sVersion: K3S_VERSION, storage, bridge },
    { way: new SshWay(shell), done },
  );
  try {
    await runSteps(steps, {
      signal: abort.signal,
      yes: false,
      reporter: { drawsList: false, step: () => {}, output: () => {}, note: () => {} },
    });
  } finally {
    await shell.close();
  }
  assert.ok(metadata !== undefined);
  return metadata;
}

/** A guest's machine-id and host key, asked of its agent on the node. */
async function identityOf({ endpoints }: Sandbox, vmid: number): Promise<string> {
  const line = `qm guest exec ${vmid} -- cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub`;
  const deadline = Date.now() + MINUTE;
  for (;;) {
    const { stdout, stderr, exit } = await onNode(endpoints, line);
    if (exit === 0) return String((JSON.parse(stdout) as { "out-data"?: string })["out-data"]);
    // The agent answers once the guest is up.
    if (Date.now() > deadline) throw new Error(stderr);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
