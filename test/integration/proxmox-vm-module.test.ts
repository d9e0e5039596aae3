import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { TaskError } from "../../lib/errors.ts";
import { run } from "../../lib/process.ts";
import { ROOT } from "../../lib/task/index.ts";
import { tofuEnv } from "../../lib/tofu/child-environment.ts";
import { unformatted } from "../../lib/tofu/index.ts";
import { tofuTools } from "../support/tofu.ts";

/** The module against a mocked provider: real tofu, real provider schema, no node. */

const dir = mkdtempSync(join(tmpdir(), "proxmox-vm-"));
after(() => rmSync(dir, { recursive: true, force: true }));

const module = join(dir, "module");
let tofu: (args: string[], cwd?: string) => Promise<{ stdout: string; exitCode: number | null }>;

before(async () => {
  const { program, cliConfigFile } = await tofuTools();
  const env = tofuEnv({ cliConfigFile });
  tofu = async (args, cwd = module) => await run(program, args, { cwd, env, allow: [0, 1] });
  cpSync(join(ROOT, "terraform", "modules", "proxmox-vm"), module, {
    recursive: true,
    filter: (path) => !path.includes(".terraform"),
  });
  await tofu(["init", "-input=false"]);
});

test("all HCL is formatted as tofu formats it", async () => {
  const tools = await tofuTools();
  assert.deepEqual(await unformatted({ ...tools, directory: join(ROOT, "terraform") }), []);
});

test("what is formatted otherwise is named; what cannot be parsed is an error", async () => {
  const tools = await tofuTools();
  const directory = join(dir, "fmt");
  mkdirSync(directory);
  writeFileSync(join(directory, "a.tf"), 'variable "a" {\ntype=string\n}\n');
  assert.deepEqual(await unformatted({ ...tools, directory }), ["a.tf"]);
  writeFileSync(join(directory, "a.tf"), "variable {{{");
  await assert.rejects(unformatted({ ...tools, directory }), TaskError);
});

test("the module is valid", async () => {
  const { stdout } = await tofu(["validate", "-json"]);
  const { valid, diagnostics } = JSON.parse(stdout) as { valid: boolean; diagnostics: unknown[] };
  assert.deepEqual({ valid, diagnostics }, { valid: true, diagnostics: [] });
});

test("the module's own tests pass", async () => {
  const { stdout } = await tofu(["test", "-json", "-filter=tests/vm.tftest.hcl"]);
  assert.match(stdout, /"test_summary":\{"status":"pass","passed":1\d,"failed":0,"errored":0,"skipped":0\}/);
});

test("inputs and outputs are those of the specification; further inputs have defaults", () => {
  const variables = readFileSync(join(module, "variables.tf"), "utf8");
  const declared = [...variables.matchAll(/^variable "(\w+)" \{\n([\s\S]*?)^\}/gm)].map(([, name, body]) => ({
    name,
    hasDefault: /^ {2}default\s+=/m.test(body ?? ""),
    description: /^ {2}description = "(.*)"/m.exec(body ?? "")?.[1],
    type: /^ {2}type\s+= (\S+)/m.exec(body ?? "")?.[1],
  }));
  assert.deepEqual(
    declared.slice(0, 14).map(({ name, type, description }) => [name, type, description]),
    [
      ["name", "string", "VM hostname"],
      ["template", "string", "Proxmox template name"],
      ["node", "string", "Proxmox node name"],
      ["storage", "string", "Storage pool for VM disks"],
      ["bridge", "string", "Network bridge"],
      ["cores", "number", "CPU cores"],
      ["memory", "number", "RAM in MB"],
      ["disk_size", "string", "Disk size (e.g., 32G)"],
      ["ci_user", "string", "Cloud-init default user"],
      ["ssh_pubkey", "string", "SSH public key for cloud-init"],
      ["ip", "string", "Static IP address with CIDR (e.g., 10.23.45.31/24)"],
      ["gateway", "string", "Network gateway"],
      ["nameserver", "string", "DNS nameserver"],
      ["user_data", "string", "Optional cloud-init user-data snippet name"],
    ],
  );
  assert.deepEqual(
    declared.slice(13).filter(({ hasDefault }) => !hasDefault),
    [],
  );
  const outputs = readFileSync(join(module, "outputs.tf"), "utf8");
  assert.deepEqual(
    [...outputs.matchAll(/^output "(\w+)" \{\n[\s\S]*?description = "(.*)"/gm)].map(([, ...each]) => each),
    [
      ["vm_id", "Proxmox VM ID"],
      ["ip_address", "VM IP address"],
    ],
  );
});

const KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBXRK5CLWFa1aUdkLZexzJI8jAi4sGANxV0HLVdf7jrI";

const GOOD = {
  name: "k3s-s1",
  template: "alma9-k3-node-amd64-v1.28.5-v1",
  node: "pve",
  storage: "vmdata",
  bridge: "vmbr0",
  cores: 4,
  memory: 24576,
  disk_size: "32G",
  ci_user: "admin",
  ssh_pubkey: KEY,
  ip: "10.23.45.31/24",
  gateway: "10.23.45.1",
  nameserver: "10.23.45.1",
} as const;

type Values = Readonly<Record<string, string | number | readonly string[] | null>>;

const REFUSED: readonly (readonly [values: Values, message: RegExp])[] = [
  [{ name: "K3S" }, /name must be a DNS name in lower case/],
  [{ name: "k3s_s1" }, /no underscore/],
  [{ name: "-k3s" }, /no hyphen at either end/],
  [{ name: "" }, /name must be a DNS name/],
  [{ name: `${"a".repeat(64)}` }, /name must be a DNS name/],
  [{ template: "9000" }, /A VM id does not do/],
  [{ template: "" }, /template must be a template's name/],
  [{ template: "tmpl;rm" }, /template must be a template's name/],
  [{ node: "pve.example.org" }, /neither an address nor a full domain name/],
  [{ storage: "local:vm" }, /without a colon or a path/],
  [{ bridge: "a-bridge-with-a-long-name" }, /15 characters at most/],
  [{ bridge: "vmbr0,tag=3" }, /bridge must be the name/],
  [{ cores: 0 }, /whole number from 1 to 128/],
  [{ cores: 2.5 }, /whole number from 1 to 128/],
  [{ memory: 24 }, /write 24576 for 24 GB/],
  [{ memory: 1024.5 }, /memory is in MB/],
  [{ disk_size: "32" }, /followed by G or T/],
  [{ disk_size: "0G" }, /above 0/],
  [{ disk_size: "-8G" }, /above 0/],
  [{ disk_size: "32GB" }, /followed by G or T/],
  [{ disk_size: "1.5T" }, /whole number/],
  [{ ci_user: "Admin" }, /ci_user must be a Linux user name/],
  [{ ci_user: "root" }, /must not be root/],
  [{ ssh_pubkey: "CHANGEME" }, /one OpenSSH public key on one line/],
  [{ ssh_pubkey: "~/.ssh/id_ed25519.pub" }, /not its path/],
  [{ ssh_pubkey: KEY.slice(0, -5) }, /one OpenSSH public key/],
  [{ ssh_pubkey: KEY.replace("ed25519", "rsa") }, /one OpenSSH public key/],
  [{ ssh_pubkey: `${KEY}\n${KEY}` }, /one OpenSSH public key on one line/],
  [{ ssh_pubkey: "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA" }, /holds a private key/],
  [{ ip: "10.23.45.31" }, /with its prefix length/],
  [{ ip: "dhcp" }, /ip must be an IPv4 address/],
  [{ ip: "10.23.45.256/24" }, /ip must be an IPv4 address/],
  [{ ip: "fd00::31/64" }, /ip must be an IPv4 address/],
  [{ ip: "10.23.45.31/32" }, /prefix length from 8 to 30/],
  [{ ip: "10.23.45.0/24" }, /network's own or its broadcast address/],
  [{ ip: "10.23.45.255/24" }, /network's own or its broadcast address/],
  [{ gateway: "10.23.46.1" }, /gateway must lie in the network of ip \(10\.23\.45\.0\/24\)/],
  [{ gateway: "10.23.45.1/24" }, /without a prefix length/],
  [{ gateway: "10.23.45.31" }, /must differ from ip/],
  [{ gateway: "router" }, /gateway must be an IPv4 address/],
  [{ nameserver: "dns.example.org" }, /IP address of one DNS server/],
  [{ nameserver: "10.23.45.1 1.1.1.1" }, /one DNS server/],
  [{ user_data: "local:snippets/x.yaml" }, /bare file name of a snippet/],
  [{ user_data: "../x.yaml" }, /bare file name of a snippet/],
  [{ vm_id: 42 }, /from 100 to 999999999/],
  [{ cpu_type: "kvm64" }, /x86-64-v2/],
  [{ tags: ["K3s"] }, /lower-case letters/],
  [{ agent_timeout: "5 minutes" }, /such as 90s or 5m/],
];

const ACCEPTED: readonly Values[] = [
  {},
  { name: "k3s-s1.home.arpa" },
  { disk_size: "2T" },
  { ssh_pubkey: `${KEY} ann@laptop with spaces\n` },
  { ip: "192.168.1.10/30", gateway: "192.168.1.9" },
  { ip: "10.0.4.7/8", gateway: "10.255.255.254" },
  { nameserver: "2606:4700:4700::1111" },
  { user_data: "k3s-s1.yaml" },
  { vm_id: 101, cpu_type: "host", tags: ["k3s", "a+b"], agent_timeout: "90s" },
];

describe("inputs", () => {
  const cases = [...REFUSED.map(([values]) => values), ...ACCEPTED];
  const fileOf = (values: Values): string => `case-${cases.indexOf(values)}.tf`;
  /** What tofu says about each set of values. One plan tries all of them: each in a file of its own. */
  const said = new Map<string, string[]>();

  before(async () => {
    const root = join(dir, "all");
    mkdirSync(root);
    cpSync(join(module, "versions.tf"), join(root, "versions.tf"));
    for (const values of cases) {
      const inputs = Object.entries({ ...GOOD, ...values }).map(
        ([name, value]) => `  ${name} = ${JSON.stringify(value)}`,
      );
      const name = fileOf(values).replace(".tf", "");
      writeFileSync(
        join(root, fileOf(values)),
        `module "${name}" {\n  source = "../module"\n${inputs.join("\n")}\n}\n`,
      );
    }
    writeFileSync(
      join(root, "all.tftest.hcl"),
      `mock_provider "proxmox" {
        mock_data "proxmox_virtual_environment_vms" {
          defaults = {
            vms = [{ vm_id = 9000, name = "${GOOD.template}", template = true, status = "stopped", node_name = "pve", tags = [] }]
          }
        }
      }
      run "all" {
        command = plan
      }`,
    );
    await tofu(["init", "-input=false"], root);
    // Rules that look at a second variable are only reached when all others hold: so once more without the refused.
    for (let heard = -1; heard < said.size; ) {
      heard = said.size;
      await listen(root);
      for (const file of said.keys()) rmSync(join(root, file), { force: true });
    }
  });

  async function listen(root: string): Promise<void> {
    const { stdout } = await tofu(["test", "-json"], root);
    for (const line of stdout.split("\n").filter((each) => each.startsWith("{"))) {
      const { diagnostic } = JSON.parse(line) as {
        diagnostic?: { severity: string; detail: string; range?: { filename: string } };
      };
      if (diagnostic?.severity !== "error") continue;
      const file = diagnostic.range?.filename ?? "elsewhere";
      said.set(file, [...(said.get(file) ?? []), diagnostic.detail]);
    }
  }

  for (const [values, message] of REFUSED) {
    test(`refused: ${JSON.stringify(values).slice(0, 80)}`, () => {
      const messages = said.get(fileOf(values)) ?? [];
      assert.equal(messages.length, 1, messages.join("\n"));
      assert.match(messages[0] ?? "", message);
    });
  }

  for (const values of ACCEPTED) {
    test(`accepted: ${JSON.stringify(values).slice(0, 80)}`, () => {
      assert.equal(said.get(fileOf(values)), undefined);
      assert.equal(said.get("elsewhere"), undefined);
    });
  }
});
