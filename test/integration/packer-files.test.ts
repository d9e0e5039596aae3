import assert from "node:assert/strict";
import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import fc from "fast-check";
import { parse } from "yaml";
import { ARCHITECTURES, formatImageName, isImageName } from "../../lib/image-name.ts";
import { CommandError, run } from "../../lib/process.ts";
import { ROOT } from "../../lib/task/index.ts";
import { ensureTool, packerPlugins, pins, ToolCache } from "../../lib/toolchain/index.ts";
import {
  BUILDERS,
  type Builder,
  evaluate,
  packer,
  proxmoxWithoutPlugin,
  qemuPluginPath,
  VALUES,
  type Variables,
} from "../support/packer.ts";
import { systemProgram } from "../support/programs.ts";

const base = mkdtempSync(join(tmpdir(), "homelab-packer-files-"));
after(() => rmSync(base, { recursive: true, force: true }));

const proxmoxCopy = await proxmoxWithoutPlugin(base);

const IMAGE = "packer/alma9-k3s-optimized";
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const builders = Object.keys(BUILDERS) as Builder[];

/** Variables of a file: their blocks by name. */
function variablesOf(path: string): Map<string, string> {
  return new Map(
    [...read(path).matchAll(/^variable "(\w+)" \{\n([\s\S]*?)^\}/gm)].map(([, name = "", body = ""]) => [
      name,
      body,
    ]),
  );
}

const shared = variablesOf("packer/common.pkr.hcl");
const own: Readonly<Record<Builder, Map<string, string>>> = {
  proxmox: variablesOf(`${IMAGE}/variables.pkr.hcl`),
  qemu: variablesOf(`${IMAGE}/qemu/variables.pkr.hcl`),
};

/** What the installer and the build can be asked for, and what is decided by it. */
const VARIANTS = (["http", "cd"] as const).flatMap((delivery) =>
  ["dhcp", "10.23.45.9/24"].flatMap((ip) =>
    (["uefi", "bios"] as const).flatMap((firmware) =>
      ARCHITECTURES.map((arch) => ({
        title: `${delivery}, ${ip === "dhcp" ? "DHCP" : "static"}, ${firmware}, ${arch}`,
        variables: {
          kickstart_delivery: delivery,
          build_ip: ip,
          firmware,
          arch,
          ...(ip === "dhcp" ? {} : { build_gateway: "10.23.45.1", build_nameserver: "10.23.45.2" }),
        } satisfies Variables,
      })),
    ),
  ),
);

describe("Packer's files", () => {
  test("are formatted as packer formats them", async () => {
    const { text, exitCode } = await packer(["fmt", "-check", "-recursive", join(ROOT, "packer")]);
    assert.deepEqual([text, exitCode], ["", 0]);
  });

  for (const [firmware, arch, delivery] of [
    ["uefi", "amd64", "http"],
    ["bios", "amd64", "cd"],
    ["uefi", "arm64", "cd"],
  ] as const) {
    test(`for QEMU are valid (${firmware}, ${arch}, ${delivery})`, async () => {
      const variables = { firmware, arch, kickstart_delivery: delivery };
      const pluginPath = await qemuPluginPath();
      const { text, exitCode } = await packer(["validate", BUILDERS.qemu], { variables, pluginPath });
      assert.equal(exitCode, 0, text);
      assert.match(text, /The configuration is valid/);
    });
  }

  test("for Proxmox are valid", async (t) => {
    let pluginPath: string;
    try {
      pluginPath = (await packerPlugins(["proxmox"])).dir;
    } catch {
      // The other tests here still look at everything but the names of the plugin's own settings.
      t.skip("the release of packer-plugin-proxmox cannot be reached, and it cannot be built");
      return;
    }
    for (const kickstart_delivery of ["http", "cd"]) {
      const { text, exitCode } = await packer(["validate", BUILDERS.proxmox], {
        variables: { kickstart_delivery },
        pluginPath,
      });
      assert.equal(exitCode, 0, text);
    }
  });

  test("for Proxmox are valid but for the plugin's own settings, which need no plugin to be read", async () => {
    const { text, exitCode } = await packer(["validate", proxmoxCopy]);
    assert.equal(exitCode, 0, text);
  });

  test("admit the plugins that the toolchain gets", () => {
    const { qemu, qemuFromSource, proxmox } = pins.packerPlugins;
    for (const [path, versions] of [
      [`${IMAGE}/qemu/packer.pkr.hcl`, [qemu, qemuFromSource]],
      [`${IMAGE}/packer.pkr.hcl`, [proxmox]],
    ] as const) {
      const [, least = "", below = ""] = /version = ">= ([\d.]+), < ([\d.]+)"/.exec(read(path)) ?? [];
      for (const version of versions) {
        assert.ok(compare(least, version) <= 0 && compare(version, below) < 0, `${path}: ${version}`);
      }
    }
    const [, core = ""] = /required_version = ">= ([\d.]+)"/.exec(read(`${IMAGE}/packer.pkr.hcl`)) ?? [];
    assert.ok(compare(core, pins.packer) <= 0);
  });

  test("give every setting of the Proxmox source a value that can be evaluated", async () => {
    const [, source = ""] =
      /^source "proxmox-iso" "image" \{\n([\s\S]*?)^\}/m.exec(read(`${IMAGE}/packer.pkr.hcl`)) ?? [];
    const settings = [...source.matchAll(/^ +(\w+) += ([^#\n]+?)(?: +#.*)?$/gm)].map(
      ([, name = "", value = ""]) => [name, value] as const,
    );
    assert.ok(settings.length > 40);
    const values = settings
      .map(([, value]) => value)
      // Inside a dynamic block a value has a name of its own.
      .filter((value) => !/^(efi_config|additional_iso_files)\.value$/.test(value));
    assert.equal((await evaluate("proxmox", values)).length, values.length);
    const value = Object.fromEntries(settings);
    assert.equal(value.cpu_type, '"x86-64-v2-AES"');
    assert.equal(value.scsi_controller, '"virtio-scsi-single"');
    assert.equal(value.efi_type, '"4m"');
    assert.equal(value.pre_enrolled_keys, "false");
    assert.equal(value.insecure_skip_tls_verify, "var.proxmox_insecure");
    assert.match(value.task_timeout ?? "", /^"[1-9]\dm"$/);
  });
});

function compare(a: string, b: string): number {
  return a.localeCompare(b, "en", { numeric: true });
}

describe("the builders", () => {
  test("share one file, which both folders link to", () => {
    for (const folder of Object.values(BUILDERS)) {
      const link = join(folder, "common.pkr.hcl");
      assert.ok(lstatSync(link).isSymbolicLink(), link);
      assert.equal(readFileSync(link, "utf8"), read("packer/common.pkr.hcl"));
    }
  });

  test("have no provisioner, no post-processor and no shared variable of their own", () => {
    assert.equal(read("packer/common.pkr.hcl").match(/^build \{$/gm)?.length, 1);
    for (const builder of builders) {
      const folder = BUILDERS[builder];
      for (const file of readdirSync(folder).filter((name) => name.endsWith(".pkr.hcl"))) {
        if (file === "common.pkr.hcl") continue;
        assert.doesNotMatch(
          readFileSync(join(folder, file), "utf8"),
          /^\s*(build|provisioner|post-processor)\b/m,
        );
      }
      for (const name of own[builder].keys()) assert.ok(!shared.has(name), `${builder}: ${name}`);
    }
  });

  for (const { title, variables } of VARIANTS) {
    test(`render the same kickstart, boot command, steps and settings (${title})`, async () => {
      const common = [
        "kickstart",
        "boot_command",
        "http_content",
        "cd_content",
        "steps",
        "step_environment",
        "goss_variables",
        "image_name",
        "image_tags",
        "image_description",
      ].map((name) => `local.${name}`);
      // Proxmox runs amd64 alone: its folder refuses to be evaluated for another architecture.
      const sides = variables.arch === "arm64" ? (["qemu"] as const) : builders;
      const [first, ...others] = await Promise.all(
        sides.map(async (builder) => await evaluate(builder, common, variables)),
      );
      for (const other of others) assert.deepEqual(other, first);
    });
  }

  test("take the same of the shared variables: no default or rule is said twice", async () => {
    const names = [...shared.keys()].filter((name) => name !== "build_password").map((name) => `var.${name}`);
    const [proxmox, qemu] = await Promise.all(
      builders.map(async (builder) => await evaluate(builder, names)),
    );
    assert.deepEqual(proxmox, qemu);
  });

  test("run the specification's scripts in its order, then clean up, and check last", async () => {
    const [steps] = await evaluate("qemu", ["local.steps"]);
    assert.deepEqual(steps, ["os-update", "guest-agent", "k3s-install", "hardening-oscap", "cleanup"]);
    const common = read("packer/common.pkr.hcl");
    const scripts = [...common.matchAll(/^ {4}scripts? += (.*)$/gm)].map(([, value = ""]) => value);
    assert.equal(scripts.length, 2);
    assert.match(scripts[0] ?? "", /for step in local\.steps/);
    assert.match(scripts[1] ?? "", /verify\.sh/);
    for (const step of [...(steps as string[]), "verify", "lib"]) {
      assert.ok(existsSync(join(ROOT, IMAGE, "scripts", `${step}.sh`)), step);
    }
  });

  test("refuse arm64 on Proxmox, where only root@pam may choose the architecture", async () => {
    await assert.rejects(
      evaluate("proxmox", ["local.machine"], { arch: "arm64" }),
      /local\.machine|machine|index/i,
    );
  });

  test("offer the guest the address they are told to offer", async () => {
    const variables = { http_address: "10.23.45.7", build_ip: "10.23.45.9/24", build_gateway: "10.23.45.1" };
    for (const builder of builders) {
      const [command] = await evaluate(builder, ['join("", local.boot_command)'], variables);
      assert.match(String(command), /inst\.ks=http:\/\/10\.23\.45\.7:\{\{ \.HTTPPort \}\}\/ks\.cfg/);
      assert.match(String(command), /ip=10\.23\.45\.9::10\.23\.45\.1:255\.255\.255\.0::eth0:none/);
    }
  });

  test("tell the installer no address when the kickstart comes on a CD", async () => {
    const [command, content] = await evaluate(
      "qemu",
      ['join("", local.boot_command)', "keys(local.cd_content)"],
      {
        kickstart_delivery: "cd",
      },
    );
    assert.doesNotMatch(String(command), /HTTP|inst\.ks/);
    assert.deepEqual(content, ["ks.cfg"]);
  });
});

describe("the variables", () => {
  const all = [shared, own.proxmox, own.qemu].flatMap((each) => [...each]);

  test("each say what they are and of which type", () => {
    assert.ok(all.length > 40);
    for (const [name, block] of all) {
      assert.match(block, /^ {2}description = ".{10,}"$/m, name);
      assert.match(block, /^ {2}type +=/m, name);
    }
  });

  test("hold the specification's, and mark the secrets", () => {
    for (const name of ["image_version", "alma_iso_url", "k3s_version"]) assert.ok(shared.has(name), name);
    for (const name of ["proxmox_url", "proxmox_username", "proxmox_token", "proxmox_node"]) {
      assert.ok(own.proxmox.has(name), name);
    }
    const secret = all.filter(([, block]) => /^ {2}sensitive += true$/m.test(block)).map(([name]) => name);
    assert.deepEqual(secret.sort(), ["build_password", "proxmox_token"]);
    for (const name of secret) {
      const [, block = ""] = all.find(([each]) => each === name) ?? [];
      assert.doesNotMatch(block, /^ {2}default/m, "no secret has a default");
    }
  });

  for (const [name, wrong, words] of [
    ["image_version", "alma9-k3s", /must have the form alma9-k3-node/],
    ["k3s_version", "v1.28.5", /vMAJOR\.MINOR\.PATCH\+k3sREVISION/],
    ["arch", "x86_64", /amd64 or arm64/],
    ["firmware", "efi", /uefi or bios/],
    ["disk_size", "16", /gigabytes, such as 16G/],
    ["alma_iso_checksum", "none", /sha256: followed by 64/],
    ["kickstart_delivery", "ftp", /http or cd/],
    ["http_bind_address", "localhost", /IPv4 address of this machine/],
    ["http_address", "10.23.45.7:8000", /without a port/],
    ["boot_wait", "ten", /number of seconds/],
    ["build_ip", "10.23.45.9", /with its prefix length/],
    ["build_gateway", "10.23.45.1/24", /without a prefix length/],
    ["build_password", 'pass word"', /letters, digits/],
    ["ssh_timeout", "2 hours", /such as 45m or 2h/],
    ["cores", "0", /from 1 to 64/],
    ["alma_mirror", "ftp://mirror/", /without a slash at its end/],
    ["k3s_releases_url", "mirror", /without a slash at its end/],
    ["proxmox_url", "https://pve:8006", /api2\/json/],
    ["proxmox_username", "root@pam", /USER@REALM!TOKENID/],
    ["proxmox_iso_file", "local:AlmaLinux.iso", /STORAGE:iso\/FILE/],
    ["proxmox_storage", "local:vm", /without a colon/],
    ["accelerator", "xen", /kvm, tcg or hvf/],
  ] as const) {
    test(`${name}=${wrong} is refused with what it must be`, async () => {
      const directory = own.qemu.has(name) ? BUILDERS.qemu : proxmoxCopy;
      const pluginPath = await qemuPluginPath();
      const { text, exitCode } = await packer(["validate", directory], {
        variables: { [name]: wrong },
        pluginPath,
      });
      assert.equal(exitCode, 1);
      assert.match(text.replace(/\s+/g, " "), words);
    });
  }
});

describe("the kickstart", () => {
  const render = async (variables: Variables): Promise<string> => {
    const [kickstart] = await evaluate("qemu", ["local.kickstart"], variables);
    return String(kickstart).replace("<sensitive>", VALUES.build_password ?? "");
  };

  for (const { title, variables } of VARIANTS) {
    test(`holds what the image needs (${title})`, async () => {
      const kickstart = await render(variables);
      assert.match(kickstart, /^rootpw --plaintext only-for-the-build$/m);
      const parts = [...kickstart.matchAll(/^part (\S+)/gm)].map(([, mount]) => mount);
      assert.deepEqual(parts.slice(-3), ["/boot/efi", "/boot", "/"], "root is the last one");
      assert.equal(parts.includes("biosboot"), variables.arch === "amd64");
      assert.equal(/^grub2-install --target=i386-pc/m.test(kickstart), variables.arch === "amd64");
      assert.doesNotMatch(kickstart, /\bswap\b|volgroup|logvol|[ \t]$/m);
      assert.match(
        kickstart,
        variables.build_ip === "dhcp"
          ? /^network --bootproto=dhcp /m
          : /--ip=10\.23\.45\.9 --netmask=255\.255\.255\.0/,
      );
      for (const name of [
        "qemu-guest-agent",
        "cloud-init",
        "cloud-utils-growpart",
        "dracut-config-generic",
      ]) {
        assert.match(kickstart, new RegExp(`^${name}$`, "m"));
      }
      for (const [, rest = ""] of kickstart.matchAll(/^%(?:pre|post)\b(.*)$/gm))
        assert.match(rest, /--erroronfail/);
    });
  }

  test("is valid for Enterprise Linux 9 in every variant, and one with a mistake is not", async (t) => {
    const ksvalidator = findKsvalidator();
    if (ksvalidator === undefined) {
      t.skip("ksvalidator is missing: pip install pykickstart");
      return;
    }
    const file = join(base, "ks.cfg");
    const validate = async (kickstart: string): Promise<string> => {
      writeFileSync(file, kickstart);
      const { stdout, stderr } = await run(ksvalidator, ["-v", "RHEL9", file]);
      return `${stdout}${stderr}`.replace(/^\s*Checking kickstart file .*$/m, "").trim();
    };
    for (const { title, variables } of VARIANTS) {
      assert.equal(await validate(await render(variables)), "", title);
    }
    assert.equal(await validate(await render({ alma_mirror: "https://mirror.example/almalinux/9" })), "");
    await assert.rejects(validate("rootpasswd x\n"), CommandError);
  });
});

/** From PATH, or where .ci/run installs it. */
function findKsvalidator(): string | undefined {
  const installed = join(new ToolCache().dir, "python", "bin", "ksvalidator");
  return systemProgram("ksvalidator") ?? (existsSync(installed) ? installed : undefined);
}

describe("the goss suite", () => {
  const variables = (arch: string, automatic_updates = false): string =>
    JSON.stringify({
      arch,
      k3s_version: "v1.28.5+k3s1",
      serial_console: "ttyS0,115200n8",
      automatic_updates,
    });
  const rendered = async (vars: string): Promise<string> => {
    const { path } = await ensureTool("goss");
    const suite = join(ROOT, IMAGE, "goss", "goss.yaml");
    return (await run(path, ["--gossfile", suite, "--vars-inline", vars, "render"])).stdout;
  };

  test("is what goss understands, for every architecture, and asks for the versions of the build", async () => {
    for (const arch of ARCHITECTURES) {
      const suite = parse(await rendered(variables(arch))) as Record<string, Record<string, unknown>>;
      assert.deepEqual(Object.keys(suite).sort(), ["command", "file"]);
      const files = Object.keys(suite.file ?? {});
      assert.ok(files.some((file) => file.endsWith(`k3s-airgap-images-${arch}.tar.zst`)));
      assert.equal(files.includes("/boot/grub2/i386-pc/core.img"), arch === "amd64");
      assert.match(JSON.stringify(suite.command), /k3s version v1\.28\.5\+k3s1 /);
      assert.ok(files.length + Object.keys(suite.command ?? {}).length > 80);
    }
  });

  test("takes the variables that the build hands over, and no other", async () => {
    const [json] = await evaluate("qemu", ["local.goss_variables"]);
    const given = Object.keys(JSON.parse(String(json)) as object);
    const used = [...read(`${IMAGE}/goss/goss.yaml`).matchAll(/\.Vars\.(\w+)/g)].map(([, name]) => name);
    assert.deepEqual(given.sort(), [...new Set(used)].sort());
  });

  test("wants the timer of automatic updates as the build was asked for", async () => {
    assert.match(await rendered(variables("amd64", true)), /unit dnf-automatic\.timer is enabled/);
    assert.match(await rendered(variables("amd64", false)), /unit dnf-automatic\.timer is off/);
  });

  test("fails on a system that is no image, and names each assertion", async () => {
    const { path } = await ensureTool("goss");
    const suite = join(base, "two.yaml");
    writeFileSync(suite, `file:\n  ${base}: { exists: true }\n  ${base}/none: { exists: true }\n`);
    const run_dir = join(base, "run");
    const goss_dir = join(base, "goss");
    await run("mkdir", ["-p", goss_dir]);
    await run("cp", [path, join(goss_dir, "goss")]);
    await run("cp", [suite, join(goss_dir, "goss.yaml")]);
    const { stdout, exitCode } = await run("bash", [join(ROOT, IMAGE, "scripts", "verify.sh")], {
      env: { ...process.env, GOSS_DIR: goss_dir, GOSS_VARIABLES: variables("amd64"), HOMELAB_RUN: run_dir },
      allow: [1],
    });
    assert.equal(exitCode, 1);
    assert.match(stdout, new RegExp(`verify: File: ${base}/none: exists: `));
    assert.equal(existsSync(goss_dir), false, "it leaves nothing behind");
  });
});

test("the cloud-init template is cloud-config with a user, a key and a hostname to fill in", () => {
  const text = read(`${IMAGE}/http/userdata/k3s-node.yaml`);
  assert.match(text, /^#cloud-config\n/);
  const config = parse(text) as {
    hostname: string;
    users: { name: string; ssh_authorized_keys: string[] }[];
    write_files: { path: string }[];
  };
  assert.equal(config.hostname, "CHANGEME");
  assert.deepEqual(
    config.users.map(({ name, ssh_authorized_keys }) => [name, ssh_authorized_keys]),
    [["admin", ["CHANGEME"]]],
  );
  for (const { path } of config.write_files) assert.match(path, /^\/etc\/rancher\/k3s\/config\.yaml\.d\//);
});

describe("Feature: homelab-infra, Property 1: Image naming convention consistency", () => {
  const [, pattern = ""] = /regex\("(\^alma9[^"]+)"/.exec(read("packer/common.pkr.hcl")) ?? [];
  const accepted = new RegExp(pattern.replaceAll("\\\\", "\\"));
  const number = fc.integer({ min: 0, max: 9999 });
  const parts = fc.record({
    arch: fc.constantFrom(...ARCHITECTURES),
    version: fc.tuple(number, number, number).map((each) => `v${each.join(".")}`),
    revision: fc.integer({ min: 1, max: 9999 }),
    release: fc.integer({ min: 1, max: 99_999 }),
  });
  type Parts = typeof parts extends fc.Arbitrary<infer T> ? T : never;
  const nameOf = ({ arch, version, revision, release }: Parts): string =>
    formatImageName({ alma: pins.almaLinux.major, arch, k3sVersion: `${version}+k3s${revision}`, release });

  test("Packer accepts every name that the tasks make", () => {
    fc.assert(
      fc.property(parts, (each) => assert.match(nameOf(each), accepted)),
      { numRuns: 500 },
    );
  });

  test("Packer accepts no name that the tasks would not read", () => {
    fc.assert(
      fc.property(parts, fc.string({ minLength: 1, maxLength: 3 }), fc.nat(), (each, extra, at) => {
        const name = nameOf(each);
        const index = at % (name.length + 1);
        const changed = name.slice(0, index) + extra + name.slice(index);
        if (accepted.test(changed)) assert.ok(isImageName(changed), changed);
      }),
      { numRuns: 500 },
    );
  });

  test("the name is the template's and the file's, as Packer itself computes and checks it", async () => {
    const names = fc.sample(parts, 100).map(nameOf);
    const checks = names.map((name) => `can(regex("${pattern}", "${name}"))`);
    assert.deepEqual(
      await evaluate("qemu", checks),
      names.map(() => true),
    );
    for (const builder of builders) {
      const [name = ""] = names;
      assert.deepEqual(await evaluate(builder, ["local.image_name"], { image_version: name }), [name]);
    }
    assert.match(read(`${IMAGE}/packer.pkr.hcl`), /^ {2}template_name += local\.image_name$/m);
    assert.match(read(`${IMAGE}/qemu/packer.pkr.hcl`), /^ {2}vm_name += "\$\{local\.image_name\}\.qcow2"$/m);
  });
});
