import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type Sandbox, type SandboxEndpoints, startSandbox } from "../../lib/sandbox/index.ts";
import { PveApi } from "../support/pve.ts";
import { type Finished, onNode } from "../support/ssh.ts";

/** What pve-init will do on a node, over SSH, and what its token can do from then on. */

const base = mkdtempSync(join(tmpdir(), "homelab-access-"));
const nodes: Partial<Record<8 | 9, Sandbox>> = {};

before(async () => {
  for (const release of [8, 9] as const) {
    nodes[release] = await startSandbox({ dir: join(base, String(release)), release });
  }
});
after(async () => {
  for (const node of Object.values(nodes)) await node.stop();
  rmSync(base, { recursive: true, force: true });
});

function endpoints(release: 8 | 9): SandboxEndpoints {
  const node = nodes[release];
  assert.ok(node);
  return node.endpoints;
}

async function pveum(release: 8 | 9, line: string): Promise<Finished> {
  return await onNode(endpoints(release), `pveum ${line}`);
}

/** The same, which has to succeed; what it printed. */
async function done(release: 8 | 9, line: string): Promise<string> {
  const { exit, stdout, stderr } = await pveum(release, line);
  assert.deepEqual([exit, stderr], [0, ""], line);
  return stdout;
}

/** A new token of a user, and the API as whoever has it sees it. */
async function tokenOf(release: 8 | 9, user: string, name: string, options = ""): Promise<PveApi> {
  const printed = await done(release, `user token add ${user} ${name} ${options} --output-format json`);
  const { value, "full-tokenid": tokenId } = JSON.parse(printed) as Record<string, string>;
  assert.match(value ?? "", /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  return new PveApi({ ...endpoints(release), tokenId: tokenId ?? "", tokenSecret: value ?? "" });
}

const config = async (api: PveApi): Promise<unknown> => await api.call("GET", "/nodes/pve/qemu/100/config");

describe("a token made at the node's prompt", () => {
  test("can do what both its user and itself may, from that moment on", async () => {
    await done(9, "role add See --privs VM.Audit");
    await done(9, "user add one@pve --comment 'the first'");
    const api = await tokenOf(9, "one@pve", "own");
    const refused = /403 Permission check failed \(\/vms\/100, VM\.Audit\)/;
    await assert.rejects(config(api), refused);
    await done(9, "acl modify /vms --users one@pve --roles See");
    await assert.rejects(config(api), refused, "its user may, it may not");
    await done(9, "acl modify /vms --tokens 'one@pve!own' --roles See");
    await assert.rejects(config(api), /500 Configuration file .* does not exist/);
    assert.deepEqual(await api.call("GET", "/access/permissions"), { "/vms": { "VM.Audit": 1 } });
    await done(9, "acl delete /vms --users one@pve --roles See");
    await assert.rejects(config(api), refused, "it may, its user may not");
  });

  test("without separation can do what its user may", async () => {
    await done(9, "user add two@pve");
    await done(9, "acl modify /vms --users two@pve --roles PVEAuditor");
    await assert.rejects(config(await tokenOf(9, "two@pve", "t2", "--privsep 0")), /500 Configuration file/);
  });

  test("is shut out once it, or its user, is gone, disabled or out of date", async () => {
    await done(9, "user add three@pve");
    const [one, two, three] = [
      await tokenOf(9, "three@pve", "one", "--privsep 0"),
      await tokenOf(9, "three@pve", "two", "--privsep 0"),
      await tokenOf(9, "three@pve", "three", "--expire 1"),
    ];
    const version = async (api: PveApi): Promise<unknown> => await api.call("GET", "/version");
    const out = /401 Authentication failed!/;
    await version(one);
    await assert.rejects(version(three), out);
    await done(9, "user token remove three@pve one");
    await assert.rejects(version(one), out);
    await version(two);
    await done(9, "user modify three@pve --enable 0");
    await assert.rejects(version(two), out);
    await done(9, "user modify three@pve --enable 1");
    await version(two);
    await done(9, "user delete three@pve");
    await assert.rejects(version(two), out);
  });

  test("has its secret told once, and kept nowhere", async () => {
    await done(9, "user add four@pve");
    const printed = await done(9, "user token add four@pve secret --output-format json");
    const { value } = JSON.parse(printed) as { value: string };
    const { exit, stderr } = await pveum(9, "user token add four@pve secret");
    assert.deepEqual([exit, /Token already exists/.test(stderr)], [255, true]);
    const listed = await done(9, "user token list four@pve --output-format json");
    assert.deepEqual(JSON.parse(listed), [{ expire: 0, privsep: 1, tokenid: "secret" }]);
    const dir = nodes[9]?.dir ?? "";
    for (const file of ["state/access.json", "sandbox.log", "sandbox.json"]) {
      assert.ok(!readFileSync(join(dir, file), "utf8").includes(value), file);
    }
  });

  test("can be given another secret, after which the old one is nothing any more", async () => {
    await done(9, "user add five@pve");
    const old = await tokenOf(9, "five@pve", "again");
    const printed = await done(9, "user token modify five@pve again --regenerate 1 --output-format json");
    const { value } = JSON.parse(printed) as { value: string };
    await assert.rejects(old.call("GET", "/version"), /401/);
    const fresh = new PveApi({ ...endpoints(9), tokenId: "five@pve!again", tokenSecret: value });
    await fresh.call("GET", "/version");
  });

  test("cannot give itself more than it has", async () => {
    await done(9, "user add six@pve");
    const api = await tokenOf(9, "six@pve", "t6", "--privsep 0");
    await assert.rejects(
      api.call("PUT", "/access/acl", { path: "/", users: "six@pve", roles: "Administrator" }),
      /403 Permission check failed \(\/, Permissions\.Modify\)/,
    );
    await assert.rejects(
      api.call("POST", "/access/users", { userid: "seven@pve" }),
      /403 Permission check failed \(\/access\/realm\/pve, Realm\.AllocateUser\)/,
    );
    await assert.rejects(
      api.call("POST", "/access/roles", { roleid: "Mine" }),
      /403 .*\/access, Sys\.Modify/,
    );
  });
});

describe("Proxmox VE 8", () => {
  test("says so, everywhere", async () => {
    const { version, release } = (await new PveApi(endpoints(8)).call("GET", "/version")) as Record<
      string,
      string
    >;
    assert.deepEqual([version, release], ["8.4.1", "8.4"]);
    assert.match((await onNode(endpoints(8), "pveversion")).stdout, /^pve-manager\/8\.4\.1\//);
  });

  test("has VM.Monitor, which 9 has not, and none of the guest agent's privileges", async () => {
    const roles = [
      [8, "VM.Monitor", ""],
      [9, "VM.Monitor", "privs: invalid format - invalid privilege 'VM.Monitor'"],
      [8, "VM.GuestAgent.Audit", "privs: invalid format - invalid privilege 'VM.GuestAgent.Audit'"],
      [9, "VM.GuestAgent.Audit", ""],
    ] as const;
    for (const [release, privilege, complaint] of roles) {
      const { exit, stderr } = await pveum(release, `role add R${privilege.length} --privs ${privilege}`);
      assert.equal(exit, complaint === "" ? 0 : 255);
      assert.ok(stderr.includes(complaint), stderr);
    }
    const listed = await done(8, "role list --output-format json");
    assert.doesNotMatch(listed, /GuestAgent|VM\.Replicate/);
    assert.match(listed, /VM\.Monitor/);
  });

  test("asks for VM.Monitor where the guest agent is asked something", async () => {
    const agent = "/nodes/pve/qemu/100/agent/network-get-interfaces";
    await done(8, "role add Look --privs VM.Audit");
    await done(8, "user add a@pve");
    await done(8, "acl modify /vms --users a@pve --roles Look");
    const api = await tokenOf(8, "a@pve", "tok", "--privsep 0");
    await assert.rejects(api.call("GET", agent), /403 Permission check failed \(\/vms\/100, VM\.Monitor\)/);
    await done(8, "role modify Look --privs VM.Monitor --append 1");
    await assert.rejects(api.call("GET", agent), /500 Configuration file/);
  });

  test("the sandbox's own token can do there what it does on 9", async () => {
    await assert.rejects(
      new PveApi(endpoints(8)).call("GET", "/nodes/pve/qemu/100/agent/network-get-interfaces"),
      /500 Configuration file/,
    );
  });

  test("is what a node stays, however it is started again", async () => {
    await nodes[8]?.stop();
    nodes[8] = await startSandbox({ dir: join(base, "8") });
    assert.match((await onNode(endpoints(8), "pveversion")).stdout, /^pve-manager\/8\.4\.1\//);
  });
});
