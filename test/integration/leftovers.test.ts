import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { run } from "../../lib/process.ts";
import {
  createSparseQcow2,
  NodeShell,
  type ProxmoxApi,
  SshWay,
  UPLOAD_FOLDER,
} from "../../lib/proxmox/index.ts";
import { formatMark, runMark } from "../../lib/run-mark.ts";
import { type Sandbox, startSandbox } from "../../lib/sandbox/index.ts";
import { ROOT, type StepControl, sandboxSettings } from "../../lib/task/index.ts";
import { runSteps } from "../../lib/task/run.ts";
import { type LeftoversResult, leftoversSteps } from "../../tasks/leftovers.ts";
import { ourClients } from "../support/our-clients.ts";
import { PveApi } from "../support/pve.ts";

/** What interrupted runs have left, beside things that look much like it and belong to somebody else. */

const dir = mkdtempSync(join(tmpdir(), "homelab-leftovers-"));
const NAME = "alma9-k3-node-amd64-v1.35.6-v7";
/** A run of this user on this machine whose process is long gone. */
const ENDED = formatMark({
  id: "0badc0de",
  by: `${userInfo().username}@${hostname()}`,
  pid: 1,
  identity: "start-0",
  since: "2026-01-02T03:04:05Z",
});
let sandbox: Sandbox;
let pve: PveApi;
let api: ProxmoxApi;
let shell: NodeShell;

before(async () => {
  sandbox = await startSandbox({ dir: join(dir, "sandbox") });
  pve = new PveApi(sandbox.endpoints);
  ({ api, shell } = ourClients(sandbox.endpoints));
  const ours = { tags: "homelab;k3s" };
  // Left.
  await pve.createVm(101, NAME, { ...ours, description: `Being uploaded (0123): ${ENDED}` });
  await pve.createVm(102, NAME.replace("v7", "v8"), { tags: "alma9;homelab;k3s;run-0badc0de" });
  await pve.createVm(103, "k3s-s1", ours);
  await shell.run(["qm", "set", "103", "--scsi1", `${sandbox.endpoints.storage}:1`]);
  await shell.run(["qm", "set", "103", "--delete", "scsi1"]);
  // At work, or somebody else's.
  await pve.createVm(110, NAME.replace("v7", "v9"), {
    ...ours,
    description: `Being uploaded (0123): ${formatMark(runMark())}`,
  });
  await pve.createVm(111, "debian", { description: `Notes about ${NAME}` });
  await pve.createVm(112, NAME.replace("v7", "v10"), { tags: "k3s" });
  await pve.createTemplate(113, NAME.replace("v7", "v11"), { tags: "homelab;k3s;template" });
  await pve.createVm(114, "windows", {});
  await shell.run(["qm", "set", "114", "--scsi1", `${sandbox.endpoints.storage}:1`]);
  await shell.run(["qm", "set", "114", "--delete", "scsi1"]);
  const uploads = onNode(UPLOAD_FOLDER);
  mkdirSync(uploads, { recursive: true });
  for (const [file, text] of [
    [`${NAME}-0123456789ab.qcow2`, "a part of an image"],
    [`${NAME}-0123456789ab.qcow2.run`, `${ENDED}\n`],
    [`${NAME.replace("v7", "v9")}-0123456789ab.qcow2`, "on its way"],
    ["debian-12.qcow2", "somebody else's"],
  ] as const)
    writeFileSync(join(uploads, file), text);
  const imports = onNode("/var/lib/vz/import");
  mkdirSync(imports, { recursive: true });
  await createSparseQcow2(join(imports, `${NAME}-0123456789ab.qcow2`), 1024 ** 3);
  await createSparseQcow2(join(imports, "debian-12.qcow2"), 1024 ** 3);
});

after(async () => {
  await shell?.close();
  await api?.close();
  await sandbox?.stop();
  rmSync(dir, { recursive: true, force: true });
});

function onNode(path: string): string {
  return join(dir, "sandbox", "rootfs", path);
}

interface Looked extends LeftoversResult {
  readonly notes: readonly string[];
}

async function look(yes: boolean, withShell: NodeShell | undefined = shell): Promise<Looked> {
  const notes: string[] = [];
  let result: LeftoversResult = { found: [], removed: [] };
  // Three hours later: what was made just now could still be under way.
  const { node } = sandbox.endpoints;
  const deps = { api, node, shell: withShell, now: () => Date.now() + 3 * 3_600_000 };
  const steps = leftoversSteps(deps, (each) => {
    result = each;
  });
  await runSteps(yes ? steps : steps.slice(0, 1), {
    signal: new AbortController().signal,
    yes,
    reporter: {
      drawsList: false,
      step: () => {},
      output: () => {},
      note: (line) => void notes.push(line),
    },
  });
  return { ...result, notes };
}

/** What belongs to others, or is at work. */
async function others(): Promise<unknown> {
  const vms = (await pve.vms()).filter(({ vmid }) => vmid >= 110);
  return {
    vms: await Promise.all(vms.map(async ({ vmid }) => [vmid, await pve.config(vmid)])),
    files: [...readdirSync(onNode(UPLOAD_FOLDER)), ...readdirSync(onNode("/var/lib/vz/import"))].filter(
      (file) => /v9-|debian/.test(file) && !file.includes(".lock"),
    ),
  };
}

test("lists what was left with the run that has left it, and nothing of anybody else", async () => {
  const way = new SshWay(shell);
  const lock = await way.lock(NAME.replace("v7", "v9"), new AbortController().signal);
  try {
    const { found } = await look(false);
    const rows = found.map(({ kind, name, run: by, busy, doubt }) => [
      kind,
      name.replace(/^\S+vm-103-disk-\d+\S*/, "DISK"),
      typeof by === "string" ? by : by?.id,
      busy === undefined && doubt === undefined,
    ]);
    assert.deepEqual(rows, [
      ["image to import", `local:import/${NAME}-0123456789ab.qcow2`, undefined, true],
      ["VM of an upload", `VM 101 (${NAME})`, "0badc0de", true],
      ["VM of a build", `VM 102 (${NAME.replace("v7", "v8")})`, "0badc0de", true],
      ["unused disk", "DISK (unused0 of VM 103 (k3s-s1))", undefined, false],
      ["VM of an upload", `VM 110 (${NAME.replace("v7", "v9")})`, runMark().id, false],
      ["sent image", `${UPLOAD_FOLDER}/${NAME}-0123456789ab.qcow2`, "0badc0de", true],
      ["sent image", `${UPLOAD_FOLDER}/${NAME.replace("v7", "v9")}-0123456789ab.qcow2`, undefined, false],
    ]);
    const bySsh = found.find(({ busy }) => busy === "an upload holds the lock of its name");
    assert.ok(bySsh?.name.includes("v9"), "the lock that an upload holds is seen");
  } finally {
    await lock.release();
  }
});

test("removes it once that is agreed to; what is at work or not ours stays as it is", async () => {
  const lock = await new SshWay(shell).lock(NAME.replace("v7", "v9"), new AbortController().signal);
  try {
    const was = await others();
    const { found, removed } = await look(true);
    assert.deepEqual([found.length, removed.length], [7, 4]);
    assert.deepEqual(await others(), was);
    assert.deepEqual(
      (await pve.vms()).map(({ vmid }) => vmid).sort((a, b) => a - b),
      [103, 110, 111, 112, 113, 114],
    );
    assert.notEqual((await pve.config(103)).unused0, undefined, "a disk that somebody has detached");
    assert.notEqual((await pve.config(114)).unused0, undefined);
    assert.equal((await look(false)).found.length, 3);
  } finally {
    await lock.release();
  }
});

test("without a way to log in, what only root sees is not looked for, and that is said", async () => {
  const nowhere = new NodeShell({ ...shell.target, port: 1 });
  const { notes, found } = await look(false, nowhere);
  assert.match(notes.join("\n"), /Sent images were not looked for: SSH to root@127\.0\.0\.1:1 failed/);
  assert.ok(found.every(({ kind }) => kind !== "sent image"));
  await nowhere.close();
});

test("a disk that nothing uses goes when a person says so of this very disk", async () => {
  const asked: string[] = [];
  const answers = {
    confirm: async () => assert.fail("nothing else is asked about"),
    note: () => {},
    output: () => {},
  };
  const { node } = sandbox.endpoints;
  for (const answer of [false, true]) {
    let result: LeftoversResult = { found: [], removed: [] };
    const [first, second] = leftoversSteps({ api, node, shell: undefined }, (each) => {
      result = each;
    });
    const control = {
      ...answers,
      signal: new AbortController().signal,
      offer: async (question: string) => {
        asked.push(question);
        return answer;
      },
    } as unknown as StepControl;
    await first?.run(control);
    await second?.run(control);
    assert.equal(result.removed.length, answer ? 1 : 0);
    assert.equal((await pve.config(103)).unused0 === undefined, answer);
  }
  assert.match(
    asked[0] ?? "",
    /^Remove unused disk \S+vm-103-disk-\d+\S* \(unused0 of VM 103 \(k3s-s1\)\) as well\? Perhaps/,
  );
});

test("as a command: lists where nobody can be asked, and says how it is removed", async () => {
  await pve.createVm(101, NAME, { tags: "homelab;k3s", description: `Being uploaded (0123): ${ENDED}` });
  const env = { ...process.env, ...sandboxSettings(sandbox) };
  const task = async (...flags: string[]): Promise<{ stdout: string; result: Told }> => {
    const words = ["--import", "tsx", "tasks/leftovers.ts", ...flags];
    const { stdout } = await run(process.execPath, words, { cwd: ROOT, env });
    const last = stdout.trimEnd().split("\n").at(-1) ?? "";
    return { stdout, result: flags.includes("--json") ? (JSON.parse(last) as Told) : {} };
  };
  const vm = `VM 101 (${NAME})`;
  const listed = await task();
  assert.match(listed.stdout, /^left VM of an upload: VM 101 .*, run 0badc0de by /m);
  assert.match(listed.stdout, /\$ npm run leftovers -- --yes$/m);
  for (const flags of [[], ["--dry-run"], ["--dry-run", "--yes"]]) {
    const { result } = await task("--json", ...flags);
    assert.equal(result.ok, true);
    assert.ok(
      result.found?.some(({ name, run: by }) => name === vm && by?.id === "0badc0de"),
      flags.join(),
    );
    assert.deepEqual(result.removed, []);
    assert.deepEqual(result.todo, ["Remove it:", "$ npm run leftovers -- --yes"]);
    assert.ok(
      (await pve.vms()).some(({ vmid }) => vmid === 101),
      "it is still there",
    );
  }
  const { result } = await task("--json", "--yes");
  assert.ok(result.removed?.some(({ name, run: by }) => name === vm && by?.id === "0badc0de"));
});

/** What the command tells machines. */
interface Told {
  readonly ok?: boolean;
  readonly found?: readonly { readonly name: string; readonly run?: { readonly id: string } }[];
  readonly removed?: Told["found"];
  readonly todo?: readonly string[];
}
