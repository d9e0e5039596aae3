import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import {
  ApiWay,
  createSparseQcow2,
  type NodeShell,
  type ProxmoxApi,
  SshWay,
  UPLOAD_FOLDER,
} from "../../lib/proxmox/index.ts";
import { formatMark, type RunMark, runMark } from "../../lib/run-mark.ts";
import { type Sandbox, startSandbox } from "../../lib/sandbox/index.ts";
import { runSteps } from "../../lib/task/run.ts";
import { type LeftoversDeps, type LeftoversResult, leftoversSteps } from "../../tasks/leftovers.ts";
import { uploadSteps } from "../../tasks/upload-image.ts";
import { ourClients } from "../support/our-clients.ts";
import { PveApi } from "../support/pve.ts";

/** What is under way, be it on another machine, and what has become somebody else's while the question stood, stays. */

const dir = mkdtempSync(join(tmpdir(), "homelab-under-way-"));
const NAME = "alma9-k3-node-amd64-v1.35.6-v7";
const FILE = `${UPLOAD_FOLDER}/${NAME}-0123456789ab.qcow2`;
const OURS = { tags: "homelab;k3s;template" };
const HOUR = 3_600_000;
const { signal } = new AbortController();
let sandbox: Sandbox;
let pve: PveApi;
let api: ProxmoxApi;
let shell: NodeShell;

before(async () => {
  sandbox = await startSandbox({ dir: join(dir, "sandbox") });
  pve = new PveApi(sandbox.endpoints);
  ({ api, shell } = ourClients(sandbox.endpoints));
});

afterEach(async () => {
  for (const { vmid } of await pve.vms()) await pve.destroy(vmid);
  for (const folder of [UPLOAD_FOLDER, "/var/lib/vz/import"])
    for (const file of existsSync(onNode(folder)) ? readdirSync(onNode(folder)) : [])
      rmSync(join(onNode(folder), file));
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

/** A run that has begun just now, or so many hours ago. */
function mark(of: Partial<RunMark> & { readonly hoursAgo?: number }): string {
  const { hoursAgo = 0, ...more } = of;
  const since = new Date(Date.now() - hoursAgo * HOUR).toISOString().replace(/\.\d+Z$/, "Z");
  return formatMark({ id: "0badc0de", by: "bob@desktop", pid: 77, identity: "start-123", since, ...more });
}

/** A run of this user on this machine, whose process is gone. */
const ENDED = { by: `${userInfo().username}@${hostname()}`, pid: 1, identity: "start-0" };

async function makeVm(vmid: number, description: string): Promise<void> {
  await pve.createVm(vmid, NAME, { ...OURS, description });
}

function put(path: string, text: string): void {
  mkdirSync(join(onNode(path), ".."), { recursive: true });
  writeFileSync(onNode(path), text);
}

interface Session extends LeftoversResult {
  readonly notes: readonly string[];
}

/**
 * Look, and answer yes.
 * @param meanwhile what happens while the question stands
 */
async function answerYes(meanwhile = async () => {}, more: Partial<LeftoversDeps> = {}): Promise<Session> {
  const notes: string[] = [];
  let result: LeftoversResult = { found: [], removed: [] };
  const deps = { api, node: sandbox.endpoints.node, shell, ...more };
  const steps = leftoversSteps(deps, (each) => {
    result = each;
  });
  await runSteps([...steps.slice(0, 1), { title: "Wait for an answer", run: meanwhile }, ...steps.slice(1)], {
    signal,
    yes: true,
    reporter: {
      drawsList: false,
      step: () => {},
      output: () => {},
      note: (line) => void notes.push(line),
    },
  });
  return { ...result, notes };
}

async function vmNames(): Promise<string[]> {
  return (await pve.vms()).map(({ vmid, name }) => `${vmid} ${name}`).sort();
}

describe("while the question stands", () => {
  test("a VM's number becomes another VM's", async () => {
    await makeVm(150, `Being uploaded (0123456789abcdef): ${mark(ENDED)}`);
    const { found, removed, notes } = await answerYes(async () => {
      await pve.destroy(150);
      await pve.createVm(150, "somebody-elses", { description: "precious" });
    });
    assert.deepEqual(await vmNames(), ["150 somebody-elses"]);
    assert.deepEqual(removed, []);
    assert.match(found[0]?.busy ?? "", /^VM 150 is another one now \(somebody-elses\)$/);
    assert.match(notes.at(-1) ?? "", /^VM 150 \(alma9.*\) was left alone: VM 150 is another one now/);
  });

  test("a VM of the same name and number is made anew, or goes", async () => {
    await makeVm(150, `Being uploaded (0123456789abcdef): ${mark(ENDED)}`);
    const anew = await answerYes(async () => {
      await pve.destroy(150);
      await makeVm(150, `Being uploaded (fedcba9876543210): ${mark({})}`);
    });
    assert.deepEqual(await vmNames(), [`150 ${NAME}`]);
    assert.equal(anew.found[0]?.busy, "it has changed since it was looked at");
    await pve.destroy(150);
    await makeVm(150, `Being uploaded (0123456789abcdef): ${mark(ENDED)}`);
    const gone = await answerYes(async () => await pve.destroy(150));
    assert.deepEqual([gone.removed, gone.found[0]?.busy], [[], "it is gone already"]);
  });

  test("a VM is started", async () => {
    await makeVm(150, `Being uploaded (0123456789abcdef): ${mark(ENDED)}`);
    const { node } = sandbox.endpoints;
    const { found } = await answerYes(async () => {
      await pve.task("POST", `/nodes/${node}/qemu/150/status/start`);
    });
    assert.match(found[0]?.busy ?? "", /^it runs/);
    assert.deepEqual(await vmNames(), [`150 ${NAME}`]);
    await pve.task("POST", `/nodes/${node}/qemu/150/status/stop`);
  });

  test("an upload takes the lock of a file's name", async () => {
    put(FILE, "a part");
    const way = new SshWay(shell);
    let lock: Awaited<ReturnType<SshWay["lock"]>> | undefined;
    try {
      const { found } = await answerYes(async () => {
        lock = await way.lock(NAME, signal);
      });
      assert.equal(found[0]?.busy, "an upload holds the lock of its name");
      assert.ok(existsSync(onNode(FILE)));
    } finally {
      await lock?.release();
    }
  });

  test("an upload goes on with a file, and is interrupted once more", async () => {
    for (const [text, by] of [
      ["a longer part", "0badc0de"],
      ["a part", "1badc0de"],
    ] as const) {
      put(FILE, "a part");
      put(`${FILE}.run`, `${mark({ hoursAgo: 30 })}\n`);
      const { found } = await answerYes(async () => {
        put(FILE, text);
        put(`${FILE}.run`, `${mark({ id: by, hoursAgo: 30 })}\n`);
      });
      assert.match(found[0]?.busy ?? "", /^an upload has gone on with it/);
      assert.equal(readFileSync(onNode(FILE), "utf8"), text);
    }
  });

  test("an image is sent anew, or a VM is being made of it", async () => {
    const image = onNode(`/var/lib/vz/import/${NAME}-0123456789ab.qcow2`);
    const place = async (): Promise<void> => {
      mkdirSync(join(image, ".."), { recursive: true });
      await createSparseQcow2(image, 1024 ** 3);
    };
    const later = { now: () => Date.now() + 2 * HOUR };
    await place();
    const anew = await answerYes(async () => appendFileSync(image, "more"), later);
    assert.match(anew.found[0]?.busy ?? "", /^it was sent anew/);
    const used = await answerYes(
      async () => await makeVm(151, `Being uploaded (0123456789abcdef): ${mark({})}`),
      later,
    );
    assert.match(used.found[0]?.busy ?? "", /^VM 151 is being made of it: it may go on at bob@desktop/);
    assert.ok(existsSync(image));
    await pve.destroy(151);
    const left = await answerYes(undefined, later);
    assert.deepEqual([left.removed.length, existsSync(image)], [1, false]);
  });
});

describe("an upload of another machine", () => {
  test("counts as under way for a day, and for as long as it holds its lock", async () => {
    const busyOf = async (hoursAgo: number, more: Partial<LeftoversDeps> = {}) => {
      await makeVm(101, `Being uploaded (0123456789abcdef): ${mark({ hoursAgo })}`);
      const { found } = await answerYes(undefined, { listOnly: "a look", ...more });
      await pve.destroy(101);
      return found[0]?.busy;
    };
    assert.match((await busyOf(23)) ?? "", /^it may go on at bob@desktop/);
    assert.match((await busyOf(-2)) ?? "", /^it may go on at bob@desktop/, "its clock is ahead");
    assert.equal(await busyOf(25), undefined);
    assert.match((await busyOf(25, { shell: undefined })) ?? "", /SSH to the node would tell/);
    const lock = await new SshWay(shell).lock(NAME, signal);
    try {
      assert.equal(await busyOf(25), "an upload holds the lock of its name");
    } finally {
      await lock.release();
    }
  });

  test("keeps its VM while others are asked for", async () => {
    await makeVm(101, `Being uploaded (0123456789abcdef): ${mark({})}`);
    await makeVm(102, `Being uploaded (0123456789abcdef): ${mark({ hoursAgo: 25 })}`);
    await makeVm(103, `Being uploaded (0123456789abcdef): ${mark(ENDED)}`);
    await answerYes();
    assert.deepEqual(await vmNames(), [`101 ${NAME}`]);
  });
});

test("an upload by the API that is between sending and making its VM comes to its end", async () => {
  const file = join(dir, "image.qcow2");
  await createSparseQcow2(file, 1024 ** 3);
  appendFileSync(file, randomBytes(100_000));
  const { node, storage, bridge } = sandbox.endpoints;
  const way = new ApiWay(api, node);
  const nextId = way.vms.nextId.bind(way.vms);
  let session: Session | undefined;
  way.vms.nextId = async (options) => {
    session ??= await answerYes();
    return await nextId(options);
  };
  const reporter = { drawsList: false, step: () => {}, output: () => {}, note: () => {} };
  await runSteps(uploadSteps({ file, name: NAME, storage, bridge }, { way }), {
    signal,
    yes: true,
    reporter,
  });
  assert.deepEqual(session?.removed, []);
  assert.match(session?.found[0]?.busy ?? "", /^it came less than an hour ago/);
  assert.equal((await pve.vms())[0]?.template, 1);
});

test("an image whose upload is known to have ended may go at once", async () => {
  const image = onNode(`/var/lib/vz/import/${NAME}-0123456789ab.qcow2`);
  mkdirSync(join(image, ".."), { recursive: true });
  await createSparseQcow2(image, 1024 ** 3);
  await makeVm(101, `Being uploaded (0123456789abcdef): ${mark({ ...ENDED, hoursAgo: 1 })}`);
  const { removed } = await answerYes();
  assert.equal(removed.length, 2);
  assert.deepEqual([await vmNames(), existsSync(image)], [[], false]);
});

describe("a build's VM", () => {
  const RUN = "run-0badc0de";
  const later = { now: () => Date.now() + HOUR };

  test("that does not run yet, or no more, stays while the node has been at work on it just now", async () => {
    await pve.createVm(101, NAME, { tags: `alma9;homelab;k3s;${RUN}` });
    assert.match((await answerYes()).found[0]?.busy ?? "", /^the node was at work on it/);
    assert.equal((await answerYes(undefined, later)).removed.length, 1);
  });

  test("of this machine goes or stays as is known of its run, be it switched on or off", async () => {
    await pve.createVm(101, NAME, { tags: `alma9;homelab;k3s;${RUN}` });
    await pve.task("POST", `/nodes/${sandbox.endpoints.node}/qemu/101/status/start`);
    const asked: string[][] = [];
    const fateOf = (fate: "ended" | "goes on" | "unknown"): Partial<LeftoversDeps> => ({
      ...later,
      fateOfBuild: (...run) => {
        asked.push(run);
        return fate;
      },
    });
    assert.equal((await answerYes(undefined, fateOf("unknown"))).found[0]?.busy, "it runs");
    assert.equal((await answerYes(undefined, fateOf("goes on"))).found[0]?.busy, "its build goes on");
    assert.equal((await answerYes(undefined, fateOf("ended"))).removed.length, 1);
    assert.deepEqual(asked[0], [NAME, "0badc0de"]);
  });

  test("without a run's number is asked about by itself, which --yes does not answer", async () => {
    await pve.createVm(101, NAME, { tags: "alma9;homelab;k3s" });
    const { found, removed } = await answerYes(undefined, later);
    assert.match(found[0]?.doubt ?? "", /nothing tells which run made it/);
    assert.deepEqual(removed, []);
  });
});

describe("marks on the node", () => {
  const stray = [`${FILE}.run`, `${UPLOAD_FOLDER}/${NAME}.lock`, `${UPLOAD_FOLDER}/${NAME}.lock.by`];

  test("that mark nothing are found and removed, those of others are not", async () => {
    for (const path of stray) put(path, `${mark(ENDED)}\n`);
    for (const path of ["debian.lock", "notes.run", "debian-0123456789ab.qcow2.run"])
      put(`${UPLOAD_FOLDER}/${path}`, "somebody else's");
    const { found, removed } = await answerYes();
    assert.deepEqual(
      found.map(({ kind, name }) => [kind, name.split(", ").sort()]),
      [["marks of an upload", [...stray].sort()]],
    );
    assert.equal(removed.length, 1);
    assert.deepEqual(readdirSync(onNode(UPLOAD_FOLDER)).sort(), [
      "debian-0123456789ab.qcow2.run",
      "debian.lock",
      "notes.run",
    ]);
  });

  test("go with the image that they mark", async () => {
    for (const path of [FILE, ...stray]) put(path, "x");
    const { found } = await answerYes();
    assert.deepEqual(
      found.map(({ name }) => name),
      [FILE],
    );
    assert.deepEqual(readdirSync(onNode(UPLOAD_FOLDER)), []);
  });

  test("of an upload that holds its lock are none of what was left", async () => {
    const lock = await new SshWay(shell).lock(NAME, signal);
    try {
      assert.deepEqual((await answerYes()).found, []);
      assert.match(
        readFileSync(onNode(`${UPLOAD_FOLDER}/${NAME}.lock.by`), "utf8"),
        new RegExp(runMark().id),
      );
    } finally {
      await lock.release();
    }
  });
});
