import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { SETTING_NAMES, specOf } from "../../lib/config/index.ts";
import { parseTfvars } from "../../lib/config/tfvars.ts";
import { ROOT } from "../../lib/task/index.ts";
import { pins } from "../../lib/toolchain/index.ts";

const terraform = join(ROOT, "terraform");
const read = (path: string): string => readFileSync(join(terraform, path), "utf8");

/** Variables of a file: their blocks by name. */
function variablesOf(path: string): Map<string, string> {
  return new Map(
    [...read(path).matchAll(/^variable "(\w+)" \{\n([\s\S]*?)^\}/gm)].map(([, name = "", body = ""]) => [
      name,
      body,
    ]),
  );
}

function defaultOf(block: string | undefined): string | undefined {
  return /^ {2}default\s+= (.*)$/m.exec(block ?? "")?.[1];
}

const k3sSingle = variablesOf("envs/k3s-single/variables.tf");

for (const path of ["modules/proxmox-vm/versions.tf", "envs/k3s-single/versions.tf"]) {
  test(`${path} admits the pinned OpenTofu and provider, and no other minor version of the provider`, () => {
    const text = read(path);
    const [major, minor] = pins.providerProxmox.split(".");
    assert.match(text, /source\s+= "bpg\/proxmox"/);
    assert.equal(/^ {6}version\s+= "(.*)"/m.exec(text)?.[1], `~> ${major}.${minor}`);
    const least = /required_version = ">= 1\.(\d+)\.0"/.exec(text)?.[1];
    assert.ok(Number(least) <= Number(pins.tofu.split(".")[1]));
  });
}

test("the environment's defaults are those of the specification", () => {
  const defaults = Object.fromEntries(
    [
      "name",
      "cores",
      "memory",
      "disk_size",
      "ip",
      "gateway",
      "nameserver",
      "node",
      "storage",
      "bridge",
      "ci_user",
    ].map((name) => [name, defaultOf(k3sSingle.get(name))]),
  );
  assert.deepEqual(defaults, {
    name: '"k3s-s1"',
    cores: "4",
    memory: "24576",
    disk_size: '"32G"',
    ip: '"10.23.45.31/24"',
    gateway: '"10.23.45.1"',
    nameserver: '"10.23.45.1"',
    node: '"pve"',
    storage: '"vmdata"',
    bridge: '"vmbr0"',
    ci_user: '"admin"',
  });
});

test("every setting that is a variable is one of the environment", () => {
  for (const name of SETTING_NAMES) {
    const { tfVar } = specOf(name);
    if (tfVar !== undefined) assert.ok(k3sSingle.has(tfVar), `${name} → ${tfVar}`);
  }
});

test("every input of the module is set by the environment, or has a default", () => {
  const main = read("envs/k3s-single/main.tf");
  for (const [name, block] of variablesOf("modules/proxmox-vm/variables.tf")) {
    if (defaultOf(block) === undefined)
      assert.match(main, new RegExp(`^ {2}${name}\\s+= var\\.${name}$`, "m"));
  }
});

test("every variable says what it is and of which type", () => {
  for (const path of ["modules/proxmox-vm/variables.tf", "envs/k3s-single/variables.tf"]) {
    for (const [name, block] of variablesOf(path)) {
      assert.match(block, /^ {2}description = ".{4,}"$/m, name);
      assert.match(block, /^ {2}type\s+= /m, name);
    }
  }
});

test("the secret is marked as one and has no place in globals.tfvars", () => {
  assert.match(k3sSingle.get("pm_api_token_secret") ?? "", /^ {2}sensitive\s+= true$/m);
  assert.doesNotMatch(read("globals.tfvars.example"), /token_secret\s*=/);
});

test("globals.tfvars.example sets only variables that exist, and marks what has to be changed", () => {
  const values = parseTfvars(read("globals.tfvars.example"));
  for (const name of Object.keys(values)) assert.ok(k3sSingle.has(name), name);
  assert.match(values.ssh_pubkey ?? "", /CHANGEME/);
  assert.match(values.pm_api_token_id ?? "", /CHANGEME/);
});

describe("terraform.tfvars.example of an environment", () => {
  const text = read("envs/k3s-single/terraform.tfvars.example");
  const secrets = [...k3sSingle]
    .filter(([, block]) => /sensitive\s+= true/.test(block))
    .map(([name]) => name);

  test("shows every variable once, and no other; of a secret it says where it belongs", () => {
    const shown = [...text.matchAll(/^(?:# )?([a-z_]+) *= /gm)].map(([, name = ""]) => name);
    assert.deepEqual(shown.sort(), [...k3sSingle.keys()].filter((name) => !secrets.includes(name)).sort());
    assert.deepEqual(secrets, ["pm_api_token_secret"]);
    assert.match(text, /\(pm_api_token_secret\) is refused in this file/);
  });

  test("shows the defaults as they are", () => {
    for (const [, name = "", value = ""] of text.matchAll(
      /^(?:# )?([a-z_]+) *= ("[^"]*"|\[[^\]]*\]|\S+)/gm,
    )) {
      const fallback = defaultOf(k3sSingle.get(name));
      if (fallback !== undefined) assert.equal(value, fallback, name);
    }
  });

  test("sets nothing that all environments may share: copied as it is, it would hide what globals.tfvars says", () => {
    const set = Object.keys(parseTfvars(text));
    // What no two environments can have in common; sizes they can.
    assert.deepEqual(set, ["name", "ip"]);
    const shared = Object.keys(parseTfvars(read("globals.tfvars.example")));
    assert.deepEqual(
      set.filter((name) => shared.includes(name)),
      [],
    );
  });
});
