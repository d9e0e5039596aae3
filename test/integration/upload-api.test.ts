import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { setMaxListeners } from "node:events";
import { appendFileSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { TaskError } from "../../lib/errors.ts";
import { run } from "../../lib/process.ts";
import {
  ApiWay,
  createSparseQcow2,
  type ImageMetadata,
  NodeShell,
  ProxmoxApi,
  parseNotes,
  SshWay,
} from "../../lib/proxmox/index.ts";
import { type Sandbox, startSandbox } from "../../lib/sandbox/index.ts";
import { ROOT, sandboxSettings } from "../../lib/task/index.ts";
import { runSteps } from "../../lib/task/run.ts";
import { type UploadRequest, uploadSteps } from "../../tasks/upload-image.ts";
import { PveApi } from "../support/pve.ts";
import { refused } from "../support/refused.ts";

/** An image becomes a template by the API alone: nobody logs in to the node. */

const dir = mkdtempSync(join(tmpdir(), "homelab-upload-api-"));
const GIB = 1024 ** 3;
let sandbox: Sandbox;
let pve: PveApi;
const apis: ProxmoxApi[] = [];

before(async () => {
  sandbox = await startSandbox({ dir: join(dir, "sandbox") });
  pve = new PveApi(sandbox.endpoints);
});

after(async () => {
  for (const api of apis) await api.close();
  await sandbox?.stop();
  rmSync(dir, { recursive: true, force: true });
});

function api(tokenSecret = sandbox.endpoints.tokenSecret): ProxmoxApi {
  const { apiUrl, tokenId, caFile } = sandbox.endpoints;
  const made = new ProxmoxApi({ url: new URL(apiUrl), tokenId, tokenSecret, tls: { caFile } });
  apis.push(made);
  return made;
}

/** A node whose storages have not got the content type. */
class WithoutImport extends ProxmoxApi {
  override get: ProxmoxApi["get"] = async (path, schema, params, signal) => {
    const answer = await super.get(path, schema, params, signal);
    if (!path.endsWith("/storage") || !Array.isArray(answer)) return answer;
    for (const row of answer as { content: string }[]) row.content = row.content.replace(/,?import/, "");
    return answer;
  };
}

let releases = 0;
async function image(mebibytes = 1): Promise<{ file: string; name: string }> {
  releases += 10;
  const file = join(dir, `image-${releases}.qcow2`);
  await createSparseQcow2(file, GIB);
  appendFileSync(file, randomBytes(mebibytes * 1024 ** 2));
  return { file, name: `alma9-k3-node-amd64-v1.35.6-v${releases}` };
}

interface Uploaded {
  readonly metadata: ImageMetadata | undefined;
  readonly notes: readonly string[];
}

async function upload(
  request: Pick<UploadRequest, "file" | "name"> & Partial<UploadRequest>,
  { way = new ApiWay(api(), sandbox.endpoints.node), interrupt = new AbortController() } = {},
  onOutput = (_line: string): void => {},
): Promise<Uploaded> {
  const { storage, bridge } = sandbox.endpoints;
  setMaxListeners(0, interrupt.signal);
  const notes: string[] = [];
  let metadata: ImageMetadata | undefined;
  const done = (made: ImageMetadata): void => {
    metadata = made;
  };
  await runSteps(uploadSteps({ storage, bridge, ...request }, { way, done }), {
    signal: interrupt.signal,
    yes: false,
    reporter: {
      drawsList: false,
      step: () => {},
      output: onOutput,
      note: (line) => void notes.push(line),
    },
  });
  return { metadata, notes };
}

/** What lies on the storage for images to import. */
function imports(): string[] {
  const folder = join(dir, "sandbox", "rootfs", "var", "lib", "vz", "import");
  return existsSync(folder) ? readdirSync(folder).sort() : [];
}

describe("upload-image --via api", () => {
  test("makes the same template as over SSH, and leaves nothing else on the node", async () => {
    const one = await image();
    const { metadata } = await upload(one);
    const other = { ...(await image()), file: one.file };
    const { sshHost: host, sshUser: user, sshPort: port, sshConfigFile: configFile } = sandbox.endpoints;
    const shell = new NodeShell({ host, user, port, configFile });
    try {
      const { storage, bridge } = sandbox.endpoints;
      await runSteps(uploadSteps({ ...other, storage, bridge }, { way: new SshWay(shell) }), {
        signal: new AbortController().signal,
        yes: false,
        reporter: { drawsList: false, step: () => {}, output: () => {}, note: () => {} },
      });
    } finally {
      await shell.close();
    }
    const configs = await Promise.all(
      [one.name, other.name].map(async (name) => {
        const vm = (await pve.vms()).find((each) => each.name === name) ?? assert.fail(name);
        const config = await pve.config(vm.vmid);
        // Made anew for each VM, or naming it.
        for (const key of ["name", "description", "digest", "meta", "smbios1", "vmgenid"]) delete config[key];
        return JSON.parse(
          JSON.stringify(config)
            .replaceAll(String(vm.vmid), "VMID")
            .replace(/virtio=[0-9A-F:]{17}/, "virtio=MAC"),
        ) as unknown;
      }),
    );
    assert.deepEqual(configs[0], configs[1]);
    const vm = (await pve.vms()).find(({ name }) => name === one.name);
    assert.deepEqual(parseNotes(String((await pve.config(vm?.vmid ?? 0)).description)), metadata);
    assert.deepEqual(imports(), []);
  });

  test("as a command, with no way to log in to the node", async () => {
    const { file, name } = await image();
    const settings = {
      ...sandboxSettings(sandbox),
      PM_SSH_HOST: "no-such-host.invalid",
      PM_SSH_CONFIG: undefined,
    };
    const args = ["--import", "tsx", "tasks/upload-image.ts", file, name, "--via", "api"];
    const env = { ...process.env, ...settings };
    const { stdout, stderr } = await run(process.execPath, args, { cwd: ROOT, env });
    assert.equal(stdout, `${name}\n`);
    assert.ok(!stderr.includes(sandbox.endpoints.tokenSecret));
  });

  test("--dry-run names the calls, another way is wrong usage", async () => {
    const { file, name } = await image();
    const env = { ...process.env, ...sandboxSettings(sandbox) };
    const task = async (...more: string[]): Promise<{ stderr: string; exitCode: number | null }> =>
      await run(process.execPath, ["--import", "tsx", "tasks/upload-image.ts", file, name, ...more], {
        cwd: ROOT,
        env,
        allow: [0, 2],
      });
    const { stderr } = await task("--via", "api", "--dry-run");
    assert.match(
      stderr,
      /\$ POST \/nodes\/pve\/storage\/IMPORT\/upload content=import checksum-algorithm=sha256/,
    );
    assert.match(stderr, /\$ POST \/nodes\/pve\/qemu vmid=9000 name=/);
    const { stdout: help } = await run(
      process.execPath,
      ["--import", "tsx", "tasks/upload-image.ts", "--help"],
      { cwd: ROOT, env },
    );
    assert.match(help.replace(/\s+/g, " "), /or api, with the token alone: not resumed, zeros are sent/);
    const { stderr: wrong, exitCode } = await task("--via", "pigeon");
    assert.equal(exitCode, 2);
    assert.match(wrong, /There is no way pigeon onto the node/);
  });

  test("what was sent and not yet imported is used by the next run", async () => {
    const { file, name } = await image();
    const broken = new ApiWay(api(), sandbox.endpoints.node);
    broken.vms.importImage = async () => {
      throw new TaskError({ what: "The node went away" });
    };
    const error = await refused(upload({ file, name }, { way: broken }));
    assert.equal(error.what, "The node went away");
    assert.match(error.left.join("\n"), /Rolled back: VM \d+ removed/);
    const [volume = ""] = imports();
    assert.match(
      error.left.join("\n"),
      new RegExp(`local:import/${volume} lies on the node: running this again uses it`),
    );
    assert.match(
      error.todo.join("\n"),
      /\$ scp .*\n\$ ssh root@127\.0\.0\.1\nThen on the node:\n\$ qm create/,
    );
    const { notes } = await upload({ file, name });
    assert.match(notes.join("\n"), /It lay on the node already, nothing was sent/);
    assert.deepEqual(imports(), []);
  });

  test("Ctrl-C while it is sent leaves nothing", async () => {
    const { file, name } = await image(24);
    const interrupt = new AbortController();
    const error = await refused(
      upload({ file, name, limit: 8 * 1024 ** 2 }, { interrupt }, (line) => {
        if (/MiB of/.test(line) && !line.startsWith("reading")) interrupt.abort();
      }),
    );
    assert.equal(error.what, "Interrupted");
    assert.match(error.left.join("\n"), /Nothing of the image lies on the node \(local:import\//);
    assert.deepEqual(imports(), []);
  });

  test("no storage that takes images: what to do is said, and nothing is sent", async () => {
    const { apiUrl, tokenId, tokenSecret, caFile, node } = sandbox.endpoints;
    const noImport = new WithoutImport({ url: new URL(apiUrl), tokenId, tokenSecret, tls: { caFile } });
    apis.push(noImport);
    const { what, todo, left } = await refused(upload(await image(), { way: new ApiWay(noImport, node) }));
    assert.equal(what, "No storage of pve takes images to import");
    assert.match(todo.join("\n"), /\$ pvesm set local --content iso,vztmpl,backup,import[\s\S]*--via ssh/);
    assert.deepEqual(left, ["Nothing was sent"]);
  });

  test("a token that is not known is said before anything is sent", async () => {
    const way = new ApiWay(api("00000000-0000-0000-0000-000000000000"), sandbox.endpoints.node);
    const { what } = await refused(upload(await image(), { way }));
    assert.equal(what, "Proxmox does not accept the API token");
    assert.deepEqual(imports(), []);
  });

  test("of two that make their VMs at the same moment with one name, one becomes the template", async () => {
    const one = await image();
    const other = { file: (await image()).file, name: one.name };
    const ways = together();
    const results = await Promise.allSettled(
      [one, other].map(async (each, at) => await upload(each, { way: ways[at] })),
    );
    const lost = results.flatMap((result) =>
      result.status === "rejected" ? [result.reason as TaskError] : [],
    );
    assert.equal(lost.length, 1, JSON.stringify(results));
    assert.equal(lost[0]?.what, `The name ${one.name} is taken on the node`);
    const [winner] = results.flatMap((result) =>
      result.status === "fulfilled" ? [result.value.metadata] : [],
    );
    const made = (await pve.vms()).filter(({ name }) => name === one.name);
    assert.deepEqual(
      made.map(({ vmid, template }) => [vmid, template]),
      [[winner?.template_id, 1]],
    );
    assert.match(lost[0]?.why ?? "", new RegExp(`^VM ${winner?.template_id} got it while we were at work$`));
    assert.match(lost[0]?.left.join("\n") ?? "", /Rolled back: VM \d+ removed/);
  });

  /** Ways whose uploads find the name free at the same moment, and look for others once both VMs are there. */
  function together(): readonly [ApiWay, ApiWay] {
    const ways = [
      new ApiWay(api(), sandbox.endpoints.node),
      new ApiWay(api(), sandbox.endpoints.node),
    ] as const;
    const bothAsked = meeting(ways.length);
    const bothMade = meeting(ways.length);
    for (const { vms } of ways) {
      const { nextId, create } = vms;
      let asked = false;
      vms.nextId = async (options) => {
        // Who is told a number that the other one gets first asks again, alone.
        if (!asked) await bothAsked();
        asked = true;
        return await nextId.call(vms, options);
      };
      vms.create = async (...args) => {
        await create.apply(vms, args);
        await bothMade();
      };
    }
    return ways;
  }
});

/** Whoever comes waits until so many are there. */
function meeting(count: number): () => Promise<void> {
  let here = 0;
  let everybody = (): void => {};
  const all = new Promise<void>((resolve) => {
    everybody = resolve;
  });
  return async () => {
    here += 1;
    if (here === count) everybody();
    await all;
  };
}
