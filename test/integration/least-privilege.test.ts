import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { TaskError } from "../../lib/errors.ts";
import type { RunResult } from "../../lib/process.ts";
import {
  ApiWay,
  createSparseQcow2,
  grants,
  missingPrivileges,
  NEEDS,
  ProxmoxApi,
  pathOf,
  privilegeAdvice,
} from "../../lib/proxmox/index.ts";
import { isPrivilege } from "../../lib/sandbox/world/index.ts";
import { sandboxSettings } from "../../lib/task/index.ts";
import { runSteps } from "../../lib/task/run.ts";
import { uploadSteps } from "../../tasks/upload-image.ts";
import { grant, recordedWorld } from "../support/contract/recorded-world.ts";
import { recordedFlow, recordingsMissing } from "../support/contract/recordings.ts";
import { replay } from "../support/contract/replay.ts";
import { PveApi } from "../support/pve.ts";
import { InitLab } from "../support/pve-init.ts";
import { onNode } from "../support/ssh.ts";
import { tofuTools } from "../support/tofu.ts";

/**
 * The whole way with the token that pve-init makes, and again with each of its privileges taken away in turn: the step that
 * needs it fails and names it, and so does what preflight asks.
 */

const NAMES = ["--user", "least@pve", "--role-prefix", "Least"];
const TEMPLATE = "alma9-k3-node-amd64-v1.35.6-v1";
const PLACES = { PM_STORAGE: "vmdata", PM_ISO_STORAGE: "local", PM_BRIDGE: "vmbr0" };
const ROLES = grants(9, PLACES, "Least");

const base = mkdtempSync(join(tmpdir(), "homelab-least-"));
const image = join(base, "image.qcow2");
let lab: InitLab;
let api: ProxmoxApi;
/** The sandbox's own token, which keeps all that it has. */
let pve: PveApi;

before(async () => {
  await tofuTools();
  lab = await InitLab.open(join(base, "node"), 9);
  pve = new PveApi(lab.sandbox.endpoints);
  await createSparseQcow2(image, 1024 ** 3);
  appendFileSync(image, randomBytes(1024 ** 2));
  const { exitCode, stderr } = await lab.init([...NAMES, "--yes"]);
  assert.equal(exitCode, 0, stderr);
  const { PM_API_TOKEN_ID: tokenId = "", PM_API_TOKEN_SECRET: tokenSecret = "" } = lab.saved();
  const { apiUrl, caFile } = lab.sandbox.endpoints;
  api = new ProxmoxApi({ url: new URL(apiUrl), tokenId, tokenSecret, tls: { caFile } });
});
after(async () => {
  await api?.close();
  await lab?.close();
  rmSync(base, { recursive: true, force: true });
});

/** Run a task as a person does, with the token in .env. */
async function task(name: string, ...flags: string[]): Promise<RunResult> {
  const {
    PM_API_TOKEN_ID: _,
    PM_API_TOKEN_SECRET: __,
    PM_TLS_CA: ___,
    ...settings
  } = sandboxSettings(lab.sandbox);
  return await lab.copy.task(name, flags, settings);
}

async function done(name: string, ...flags: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await task(name, ...flags);
  assert.equal(exitCode, 0, `${name}: ${stderr}`);
  return stdout;
}

/** Do something while the token lacks a privilege. */
async function without<T>(privilege: string, path: string, action: () => Promise<T>): Promise<T> {
  const role = ROLES.find((each) => each.path === path) ?? assert.fail(path);
  assert.ok(role.privileges.includes(privilege));
  const set = async (privileges: readonly string[]): Promise<void> => {
    const line = `pveum role modify ${role.role} --privs '${privileges.join(",")}'`;
    const { exit, stderr } = await onNode(lab.sandbox.endpoints, line);
    assert.equal(exit, 0, stderr);
  };
  await set(role.privileges.filter((each) => each !== privilege));
  try {
    return await action();
  } finally {
    await set(role.privileges);
  }
}

test("the token that pve-init makes is enough for the whole way, with a template by SSH and one by the API", async () => {
  assert.equal(await done("upload-image", image, TEMPLATE), `${TEMPLATE}\n`);
  const other = TEMPLATE.replace(/1$/, "2");
  assert.equal(await done("upload-image", image, other, "--via", "api"), `${other}\n`);
  await done("tf-plan");
  await done("tf-apply", "--yes");
  assert.match((await done("tf-plan")).trim(), /nothing|no change/i);
  await done("status");
  assert.match(await done("images"), new RegExp(`${TEMPLATE} .*\n.*\n.*used by k3s-s1`));
  await done("leftovers", "--yes");
  assert.match(await done("tf-destroy", "--env", "k3s-single", "--yes"), /^destroyed /);
});

/** What an upload by the API comes to, in our own words. */
async function upload(name: string): Promise<string> {
  const notes: string[] = [];
  const { node, storage, bridge } = lab.sandbox.endpoints;
  const steps = uploadSteps({ file: image, name, storage, bridge }, { way: new ApiWay(api, node) });
  try {
    await runSteps(steps, {
      signal: new AbortController().signal,
      yes: false,
      reporter: { drawsList: false, step: () => {}, output: () => {}, note: (line) => void notes.push(line) },
    });
    return `done\n${notes.join("\n")}`;
  } catch (error) {
    assert.ok(error instanceof TaskError, String(error));
    return [error.what, error.why, ...error.todo].join("\n");
  }
}

/** Every VM but the template goes: a failed step could not remove what it had made. */
async function tidyUp(): Promise<void> {
  for (const { vmid, name, status } of await pve.vms()) {
    if (name === TEMPLATE || name === TEMPLATE.replace(/1$/, "2")) continue;
    if (status === "running") await pve.task("POST", `/nodes/pve/qemu/${vmid}/status/stop`);
    await pve.destroy(vmid);
  }
}

describe("upload-image --via api names the privilege that is missing", () => {
  let release = 10;
  for (const { place, privilege: names, tasks } of NEEDS) {
    if (!tasks.includes("upload-image --via api")) continue;
    const privilege = names[9];
    const path = pathOf(place, PLACES);
    test(`${privilege} on ${path}`, async () => {
      release += 1;
      const said = await without(
        privilege,
        path,
        async () => await upload(TEMPLATE.replace(/1$/, `${release}`)),
      );
      await tidyUp();
      // What was sent cannot be taken away; the template is there all the same.
      if (privilege === "Datastore.Allocate") assert.match(said, /^done\n[\s\S]*stays on the node/);
      else assert.doesNotMatch(said, /^done/);
      assert.ok(said.includes(privilege), said);
      assert.match(
        said,
        new RegExp(`${privilege}[^\n]*(on|,) ${path}\\b|\\(${path}[^ ]*, ${privilege}|${privilege}.* there`),
        said,
      );
    });
  }
});

describe("tf-apply names the privilege that is missing", () => {
  // The others are refused in the replay of a recorded apply (sandbox-contract.test.ts), in words of the same form.
  const TRIED = [
    ...["VM.Allocate", "VM.Audit", "VM.Clone", "VM.GuestAgent.Audit", "VM.PowerMgmt"],
    ...["Datastore.Audit", "SDN.Use"],
  ];
  for (const { place, privilege: names, tasks } of NEEDS) {
    const privilege = names[9];
    if (!tasks.includes("tf-apply") || !TRIED.includes(privilege)) continue;
    const path = pathOf(place, PLACES);
    test(`${privilege} on ${path}`, async () => {
      const apply = async (): Promise<RunResult> => await task("tf-apply", "--yes");
      const { exitCode, stderr } = await without(privilege, path, apply);
      const made = (await pve.vms()).some(({ name }) => name === "k3s-s1");
      if (made) await done("tf-destroy", "--env", "k3s-single", "--yes");
      // Without the address the VM is made all the same.
      assert.equal(exitCode, privilege === "VM.GuestAgent.Audit" ? 0 : 1, stderr);
      const said = stderr.replaceAll(/\s*\n\s*/g, " ");
      assert.match(said, new RegExp(`${privilege} on ${path}|\\(${path}\\S*, ${privilege}`), stderr);
    });
  }
});

test("tf-destroy does not forget VMs that the token may not see", async () => {
  await done("tf-apply", "--yes");
  const destroy = ["tf-destroy", "--env", "k3s-single", "--yes"] as const;
  const { exitCode, stderr } = await without("VM.Audit", "/vms", async () => await task(...destroy));
  assert.equal(exitCode, 1, stderr);
  assert.match(stderr, /the API's token may not see its VMs[\s\S]*It lacks VM\.Audit on \/vms\/\d+/);
  assert.match(await done(...destroy), /^destroyed /);
  assert.deepEqual(
    (await pve.vms()).filter(({ name }) => name === "k3s-s1"),
    [],
  );
});

describe("what preflight asks names the privilege that is missing", () => {
  for (const { path, privileges } of ROLES) {
    for (const privilege of privileges) {
      test(`${privilege} on ${path}`, async () => {
        const missing = await without(privilege, path, async () => await missingPrivileges(api, PLACES));
        assert.deepEqual(
          [...new Set(missing.map((each) => `${each.privilege} on ${each.path}`))],
          [`${privilege} on ${path}`],
        );
      });
    }
  }
});

describe("an image build with Packer, as it was recorded", { skip: recordingsMissing }, () => {
  /** What it comes to with the rights that pve-init gives, but for one. */
  async function build(lacking?: {
    readonly privilege: string;
    readonly path: string;
  }): Promise<readonly string[]> {
    const dir = mkdtempSync(join(base, "packer-"));
    const beginning = { stopped: [9000, 9001, 9002], running: [] };
    const world = await recordedWorld(dir, beginning, 0);
    for (const { path, privileges } of ROLES) {
      const held = privileges.filter((one) => path !== lacking?.path || one !== lacking.privilege);
      grant(world, path, held.filter(isPrivilege));
    }
    // The recording's own grant of the zone would hold for its bridge.
    grant(world, "/sdn/zones/localnetwork", []);
    const options = { exceptions: {}, untilRefused: lacking !== undefined };
    const { refusals } = await replay(world, recordedFlow("packer-proxmox-iso"), options);
    rmSync(dir, { recursive: true, force: true });
    return refusals;
  }

  test("is refused nothing", async () => {
    assert.deepEqual(await build(), []);
  });

  for (const { place, privilege: names, tasks } of NEEDS) {
    const privilege = names[9];
    // Not asked for in the recording: the address was given, the ISO was there, the disk's place was not looked at.
    const unasked = ["VM.GuestAgent.Audit", "Datastore.Audit"];
    if (!tasks.includes("build-image") || unasked.includes(privilege)) continue;
    const path = pathOf(place, PLACES);
    test(`names ${privilege} on ${path}`, async () => {
      const [refusal = ""] = await build({ privilege, path });
      assert.match(
        privilegeAdvice(refusal)[0] ?? "",
        new RegExp(`^Give the token ${privilege} on ${path}`),
        refusal,
      );
    });
  }
});
