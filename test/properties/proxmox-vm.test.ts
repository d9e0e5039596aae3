import assert from "node:assert/strict";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import fc from "fast-check";
import * as v from "valibot";
import { run } from "../../lib/process.ts";
import { ROOT } from "../../lib/task/index.ts";
import { tofuEnv } from "../../lib/tofu/child-environment.ts";
import { tofuTools } from "../support/tofu.ts";

/**
 * Properties of the module, over a hundred and more configurations. OpenTofu plans all of them at once against a mocked
 * provider; each property then looks at every one.
 */
const RUNS = 120;

const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?$/);
const octet = fc.integer({ min: 0, max: 255 });

/** An address and a gateway in one network, neither of them the network's own nor its broadcast address. */
const network = fc
  .record({
    a: fc.integer({ min: 1, max: 223 }),
    b: octet,
    c: octet,
    prefix: fc.integer({ min: 16, max: 28 }),
  })
  .chain(({ a, b, c, prefix }) => {
    const hosts = 2 ** (32 - prefix) - 2;
    const base = ((((a << 24) | (b << 16) | (c << 8)) >>> (32 - prefix)) << (32 - prefix)) >>> 0;
    const address = (host: number): string =>
      [24, 16, 8, 0].map((bits) => ((base + host) >>> bits) & 255).join(".");
    return fc
      .uniqueArray(fc.integer({ min: 1, max: hosts }), { minLength: 2, maxLength: 2 })
      .map(([own = 1, other = 2]) => ({ ip: `${address(own)}/${prefix}`, gateway: address(other) }));
  });

const key = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((bytes) =>
    Buffer.concat([Buffer.from("0000000b7373682d6564323535313900000020", "hex"), bytes]).toString("base64"),
  );

const template = fc.integer({ min: 0, max: 9 });

const configuration = fc
  .record({
    name: label,
    template: template.map((number) => `alma9-k3-node-amd64-v1.35.${number}-v1`),
    node: label,
    storage: fc.stringMatching(/^[A-Za-z][A-Za-z0-9._-]{0,8}[A-Za-z0-9]$/),
    bridge: fc.stringMatching(/^[A-Za-z][A-Za-z0-9_.-]{0,14}$/),
    cores: fc.integer({ min: 1, max: 128 }),
    memory: fc.integer({ min: 512, max: 4_178_944 }),
    disk_size: fc
      .tuple(fc.integer({ min: 1, max: 9999 }), fc.constantFrom("G", "T"))
      .map((each) => each.join("")),
    ci_user: fc.stringMatching(/^[a-z_][a-z0-9_-]{0,31}$/).filter((name) => name !== "root"),
    ssh_pubkey: fc
      .tuple(key, fc.constantFrom("", " ann@laptop", " a key\n"))
      .map(([blob, rest]) => `ssh-ed25519 ${blob}${rest}`),
    nameserver: fc.ipV4(),
    user_data: fc.oneof(fc.constant(""), fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,20}$/)),
  })
  .chain((vm) => network.map((each) => ({ ...vm, ...each })));

type Configuration = typeof configuration extends fc.Arbitrary<infer Value> ? Value : never;

const one = <Item extends v.GenericSchema>(item: Item) => v.strictTuple([item]);

const PlannedSchema = v.object({
  name: v.string(),
  node_name: v.string(),
  clone: one(v.object({ vm_id: v.number(), full: v.literal(true) })),
  disk: v.array(
    v.object({
      interface: v.string(),
      datastore_id: v.string(),
      size: v.number(),
      ssd: v.boolean(),
      discard: v.string(),
    }),
  ),
  network_device: v.array(v.object({ model: v.string(), bridge: v.string() })),
  initialization: one(
    v.object({
      interface: v.string(),
      user_data_file_id: v.nullish(v.string()),
      user_account: one(v.object({ username: v.string(), keys: v.array(v.string()) })),
      dns: one(v.object({ servers: v.array(v.string()) })),
      ip_config: one(v.object({ ipv4: one(v.object({ address: v.string(), gateway: v.string() })) })),
    }),
  ),
});
type Planned = v.InferOutput<typeof PlannedSchema>;

const TestPlanSchema = v.object({
  test_plan: v.object({
    resource_changes: v.array(
      v.object({
        index: v.optional(v.string()),
        address: v.string(),
        change: v.object({ after: PlannedSchema }),
      }),
    ),
    output_changes: v.object({
      vms: v.object({ after: v.record(v.string(), v.object({ vm_id: v.number(), ip_address: v.string() })) }),
    }),
  }),
});

const INPUTS = [
  "name",
  "template",
  "node",
  "storage",
  "bridge",
  "cores",
  "memory",
  "disk_size",
  "ci_user",
  "ssh_pubkey",
  "ip",
  "gateway",
  "nameserver",
  "user_data",
] as const;

const dir = mkdtempSync(join(tmpdir(), "proxmox-vm-properties-"));
after(() => rmSync(dir, { recursive: true, force: true }));

const configurations = fc.sample(configuration, {
  numRuns: RUNS,
  seed: Number(process.env.SEED ?? Date.now() % 1e9),
});
let cases: readonly { input: Configuration; planned: Planned; outputs: Record<string, unknown> }[] = [];

before(async () => {
  cpSync(join(ROOT, "terraform", "modules", "proxmox-vm"), join(dir, "module"), {
    recursive: true,
    filter: (path) => !path.includes(".terraform"),
  });
  cpSync(join(dir, "module", "versions.tf"), join(dir, "versions.tf"));
  writeFileSync(join(dir, "vms.json"), JSON.stringify(configurations));
  writeFileSync(
    join(dir, "main.tf"),
    `module "vm" {
      source   = "./module"
      for_each = { for index, vm in jsondecode(file("\${path.root}/vms.json")) : index => vm }
      ${INPUTS.map((name) => `${name} = each.value.${name}`).join("\n")}
    }
    output "vms" {
      value = module.vm
    }`,
  );
  const templates = Array.from(
    { length: 10 },
    (_, number) => `
    { vm_id = ${9000 + number}, name = "alma9-k3-node-amd64-v1.35.${number}-v1", template = true, status = "stopped", node_name = "n", tags = [] },`,
  );
  writeFileSync(
    join(dir, "plan.tftest.hcl"),
    `mock_provider "proxmox" {
      mock_data "proxmox_virtual_environment_vms" {
        defaults = { vms = [${templates.join("")}] }
      }
      mock_resource "proxmox_virtual_environment_vm" {
        defaults = { vm_id = 4711 }
      }
    }
    run "plan" {
      command = plan
    }`,
  );
  const { program, cliConfigFile } = await tofuTools();
  const options = { cwd: dir, env: tofuEnv({ cliConfigFile }) };
  await run(program, ["init", "-input=false"], options);
  const { stdout } = await run(program, ["test", "-json", "-verbose"], options);
  const line = stdout.split("\n").find((each) => each.includes('"test_plan"'));
  const { resource_changes, output_changes } = v.parse(TestPlanSchema, JSON.parse(line ?? "{}")).test_plan;
  cases = configurations.map((input, index) => {
    const resource = resource_changes.find(({ address }) => address.startsWith(`module.vm["${index}"].`));
    assert.ok(resource, `configuration ${index} was not planned`);
    return { input, planned: resource.change.after, outputs: output_changes.vms.after[String(index)] ?? {} };
  });
});

/** Checks a property on every configuration, and shows the first one on which it does not hold. */
function holds(property: (each: (typeof cases)[number]) => void): void {
  assert.ok(cases.length >= 100, `only ${cases.length} configurations`);
  for (const each of cases) {
    try {
      property(each);
    } catch (error) {
      throw new Error(`does not hold for ${JSON.stringify(each.input)}`, { cause: error });
    }
  }
}

test("Feature: homelab-infra, Property 2: VM cloning from specified template", () => {
  holds(({ input, planned }) => {
    const number = /35\.(\d)-v1$/.exec(input.template)?.[1];
    assert.equal(planned.clone[0].vm_id, 9000 + Number(number));
  });
});

test("Feature: homelab-infra, Property 3: Cloud-init configuration completeness", () => {
  holds(({ input, planned }) => {
    const [cloudInit] = planned.initialization;
    assert.equal(planned.name, input.name);
    assert.equal(cloudInit.user_account[0].username, input.ci_user);
    assert.deepEqual(cloudInit.user_account[0].keys, [input.ssh_pubkey.trim()]);
    assert.deepEqual(cloudInit.dns[0].servers, [input.nameserver]);
    assert.deepEqual(cloudInit.ip_config[0].ipv4[0], { address: input.ip, gateway: input.gateway });
  });
});

test("Feature: homelab-infra, Property 5: Proxmox VM disk configuration", () => {
  holds(({ input, planned }) => {
    const gigabytes = Number.parseInt(input.disk_size, 10) * (input.disk_size.endsWith("T") ? 1024 : 1);
    assert.deepEqual(planned.disk, [
      { interface: "scsi0", datastore_id: input.storage, size: gigabytes, ssd: true, discard: "on" },
    ]);
    assert.doesNotMatch(planned.initialization[0].interface, /^scsi/);
  });
});

test("Feature: homelab-infra, Property 6: Proxmox VM network configuration", () => {
  holds(({ input, planned }) => {
    assert.deepEqual(planned.network_device, [{ model: "virtio", bridge: input.bridge }]);
  });
});

test("Feature: homelab-infra, Property 7: Cloud-init user-data conditional configuration", () => {
  holds(({ input, planned }) => {
    const snippet = planned.initialization[0].user_data_file_id ?? "";
    if (input.user_data !== "") assert.equal(snippet, `local:snippets/${input.user_data}`);
    // Left open: the mock makes a word up, the provider leaves cicustom away (see the integration tests).
    else assert.doesNotMatch(snippet, /snippets/);
  });
});

test("Feature: homelab-infra, Property 8: Module output presence", () => {
  holds(({ input, outputs }) => {
    assert.equal(outputs.ip_address, input.ip);
    assert.equal(outputs.vm_id, 4711);
  });
});
