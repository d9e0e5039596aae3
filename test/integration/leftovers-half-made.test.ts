import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { pathToFileURL } from "node:url";
import { tryLock } from "../../lib/lock.ts";
import { ProxmoxApi } from "../../lib/proxmox/index.ts";
import { formatMark, type RunMark, runMark } from "../../lib/run-mark.ts";
import { type Sandbox, startSandbox } from "../../lib/sandbox/index.ts";
import { alone, ROOT } from "../../lib/task/index.ts";
import { runSteps } from "../../lib/task/run.ts";
import { lendFolder } from "../../lib/temporary.ts";
import { interrupted } from "../../lib/tofu/index.ts";
import { noteState } from "../../lib/tofu/orphans.ts";
import { type LeftoversResult, leftoversSteps } from "../../tasks/leftovers.ts";
import { PveApi } from "../support/pve.ts";

/** What killed applies have left half made: only what a journal names, no state knows and nobody is at work with goes. */

const dir = mkdtempSync(join(tmpdir(), "homelab-half-made-"));
const ENVIRONMENT = "k3s-single";
/** As a clone of the repository has them. */
const root = join(dir, "clone");
const directory = join(root, "terraform", "envs", ENVIRONMENT);
const state = join(directory, "terraform.tfstate");
const journal = join(root, ".homelab", "begun", `${ENVIRONMENT}.json`);
const ENDED: RunMark = {
  id: "0badc0de",
  by: `${userInfo().username}@${hostname()}`,
  pid: 1,
  identity: "start-0",
  since: "2026-01-02T03:04:05Z",
};
const NOTES = "Made from the template t (100) by run 0badc0de and changed by OpenTofu: …";
const children: ChildProcess[] = [];
let sandbox: Sandbox;
let pve: PveApi;
let api: ProxmoxApi;

before(async () => {
  sandbox = await startSandbox({ dir: join(dir, "sandbox") });
  const { apiUrl, tokenId, tokenSecret, caFile } = sandbox.endpoints;
  pve = new PveApi(sandbox.endpoints);
  api = new ProxmoxApi({ url: new URL(apiUrl), tokenId, tokenSecret, tls: { caFile } });
});

beforeEach(async () => {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "main.tf"), "# nothing\n");
  await pve.createVm(102, "k3s-s1", { tags: "homelab;k3s", description: NOTES });
});

afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  for (const { vmid } of await pve.vms()) await pve.destroy(vmid);
  rmSync(root, { recursive: true, force: true });
});

after(async () => {
  await api?.close();
  await sandbox?.stop();
  rmSync(dir, { recursive: true, force: true });
});

function begun(mark: RunMark | undefined, guests: readonly number[] = [100]): void {
  const { id, since } = mark ?? ENDED;
  const run = { id, since, guests, ...(mark === undefined ? {} : { mark: formatMark(mark) }) };
  mkdirSync(join(journal, ".."), { recursive: true });
  writeFileSync(journal, JSON.stringify({ runs: [run] }));
}

/** As OpenTofu writes it, with the VMs of these numbers. */
function writeState(...vmids: number[]): void {
  const instances = vmids.map((vmid) => ({ attributes: { id: String(vmid), name: "k3s-s1" } }));
  const vm = { mode: "managed", type: "proxmox_virtual_environment_vm", name: "vm", instances };
  const data = { mode: "data", type: "other", name: "x", instances: [{ attributes: { id: "102" } }] };
  writeFileSync(state, JSON.stringify({ version: 4, resources: [data, vm] }));
}

async function session(yes: boolean, meanwhile: () => unknown = () => {}): Promise<LeftoversResult> {
  let result: LeftoversResult = { found: [], removed: [] };
  const steps = leftoversSteps(
    {
      api,
      node: sandbox.endpoints.node,
      shell: undefined,
      listOnly: yes ? undefined : "a look",
      environments: {
        interrupted: async (guests) => await interrupted(guests, root),
        alone: async (environment, action) =>
          await alone({ root, sandbox: undefined, flags: { dryRun: false } }, environment, action),
      },
    },
    (each) => {
      result = each;
    },
  );
  const wait = { title: "Wait for an answer", run: async () => void (await meanwhile()) };
  await runSteps([...steps.slice(0, 1), wait, ...steps.slice(1)], {
    signal: new AbortController().signal,
    yes: true,
    reporter: { drawsList: false, step: () => {}, output: () => {}, note: () => {} },
  });
  return result;
}

async function isThere(): Promise<boolean> {
  return (await pve.vms()).some(({ vmid }) => vmid === 102);
}

async function busy(): Promise<string | undefined> {
  const { found } = await session(false);
  assert.deepEqual(
    found.map(({ kind, name }) => [kind, name]),
    [["half-made VM", "VM 102 (k3s-s1)"]],
  );
  return found[0]?.busy;
}

test("a VM that a dead run has begun to make is listed with its run, and removed, be it switched on or off", async () => {
  begun(ENDED);
  writeState();
  assert.equal(await busy(), undefined);
  await pve.task("POST", `/nodes/${sandbox.endpoints.node}/qemu/102/status/start`);
  const { removed } = await session(true);
  assert.deepEqual(
    removed.map(({ name, run }) => [name, run]),
    [["VM 102 (k3s-s1)", ENDED]],
  );
  assert.equal(await isThere(), false);
});

test("killed before OpenTofu has written any state, too", async () => {
  begun(ENDED);
  // The lock has made the file by then.
  writeFileSync(state, "");
  assert.equal(await busy(), undefined);
  writeFileSync(`${state}.backup`, "{}");
  assert.match((await busy()) ?? "", /cannot be told here/, "cut off while it was written anew");
  rmSync(`${state}.backup`);
  rmSync(state);
  assert.equal((await session(true)).removed.length, 1);
});

test("one that the state knows was left by nobody, nor one that no journal names or that was there before", async () => {
  assert.deepEqual((await session(true)).found, []);
  begun(ENDED);
  writeState(102);
  assert.deepEqual((await session(true)).found, []);
  writeState();
  begun(ENDED, [100, 102]);
  assert.deepEqual((await session(true)).found, []);
  begun({ ...ENDED, id: "1badc0de" });
  assert.deepEqual((await session(true)).found, []);
});

test("where nobody can tell what the state knows, it stays", async () => {
  begun(ENDED);
  for (const text of ['{"encrypted_data":"…"}', '{"version":5}', "half a st"]) {
    writeFileSync(state, text);
    assert.match(
      (await busy()) ?? "",
      /^whether the state of k3s-single knows it cannot be told here; npm run tf-apply/,
    );
  }
  rmSync(state);
  writeFileSync(join(directory, "backend.tf"), 'terraform {\n  backend "s3" {}\n}\n');
  assert.match((await busy()) ?? "", /cannot be told here/);
  rmSync(directory, { recursive: true });
  assert.match((await busy()) ?? "", /cannot be told here/, "the environment is gone");
});

test("while its run goes on, or may go on, it stays", async () => {
  begun({ ...runMark(), id: ENDED.id });
  assert.equal(await busy(), `process ${process.pid} is at it`);
  begun({ ...ENDED, by: "bob@desktop" });
  assert.match((await busy()) ?? "", /^its run may go on elsewhere; npm run tf-apply/);
  begun(undefined);
  assert.match((await busy()) ?? "", /^its run may go on elsewhere/, "a journal of a former release");
});

test("while an OpenTofu that its run has left is at work on the state, it stays", async () => {
  begun(ENDED);
  const child = spawn("sleep", ["600"], { stdio: "ignore" });
  children.push(child);
  const folder = folderOfKilled();
  noteState(folder, directory, "https://192.0.2.1:8006/api2/json");
  lendFolder(folder, child.pid ?? 0);
  assert.equal(await busy(), `OpenTofu of a run that was killed is still at work (process ${child.pid})`);
  assert.deepEqual((await session(true)).removed, []);
});

test("what has changed while the question stood stays", async () => {
  begun(ENDED);
  const { node } = sandbox.endpoints;
  const changes: [RegExp, () => unknown][] = [
    [/its run has come to its end/, () => writeState(102)],
    [/it has changed/, async () => await pve.call("PUT", `/nodes/${node}/qemu/102/config`, { tags: "mine" })],
    [
      /another one now \(precious\)/,
      async () => {
        await pve.destroy(102);
        await pve.createVm(102, "precious");
      },
    ],
  ];
  for (const [why, change] of changes) {
    rmSync(state, { force: true });
    const { found, removed } = await session(true, change);
    assert.deepEqual(removed, []);
    assert.match(found[0]?.busy ?? "", why);
    assert.ok(await isThere());
  }
});

test("while somebody changes the environment, it stays, and the failure says who", async () => {
  begun(ENDED);
  const lock = tryLock(join(root, ".homelab", "locks", `${ENVIRONMENT}.lock`));
  assert.ok(lock.held);
  try {
    await assert.rejects(
      session(true),
      /could not be removed[\s\S]*Somebody else is changing the environment k3s-single/,
    );
    assert.ok(await isThere());
  } finally {
    lock.release();
  }
});

/** A private folder whose maker is gone. */
function folderOfKilled(): string {
  const module = pathToFileURL(join(ROOT, "lib", "temporary.ts")).href;
  const script = `const { temporaryFolder } = await import(${JSON.stringify(module)}); console.log(temporaryFolder("homelab-tofu"));`;
  const words = ["--import", "tsx", "--input-type=module", "-e", script];
  return execFileSync(process.execPath, words, { cwd: ROOT, encoding: "utf8" }).trim();
}
