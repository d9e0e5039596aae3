import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { request } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type ApiServer, createDispatch, serveApi } from "../../lib/sandbox/api/index.ts";
import { type Dispatch, type Method, ROOT } from "../../lib/sandbox/calls.ts";
import { Faults, faultControl } from "../../lib/sandbox/faults/index.ts";
import { Guests } from "../../lib/sandbox/guest/index.ts";
import { NAMES, sandboxPlan } from "../../lib/sandbox/seed.ts";
import { createQcow2, openWorld, type World } from "../../lib/sandbox/world/index.ts";

const IMAGE = "alma9-k3-node-amd64-v1.35.6-v1";
const QEMU = "/nodes/pve/qemu";
const LOCAL = "/nodes/pve/storage/local";
const ISO = Buffer.alloc(300_000, "installer\r\n--");
const SECRET = "00000000-0000-4000-8000-000000000000";
const TASKS = { user: NAMES.user, token: NAMES.token };

const base = mkdtempSync(join(tmpdir(), "homelab-packer-"));
let world: World;
let guests: Guests;
let dispatch: Dispatch;
let server: ApiServer;

before(async () => {
  world = openWorld(base, sandboxPlan(SECRET), {
    timeScale: 0,
    interference: new Faults(base, () => {}),
  });
  guests = new Guests({ world, log: () => {} });
  dispatch = createDispatch(world, guests);
  server = await serveApi(world, dispatch);
});
after(async () => {
  await server.close();
  await world.tasks.close();
  await guests.close();
  rmSync(base, { recursive: true, force: true });
});

/** A call with the tasks' token; the result of the task that it started, if any, is its own. */
async function call(
  method: Method,
  path: string,
  params: Record<string, string | number> = {},
  caller: { user: string; token?: string } = TASKS,
): Promise<unknown> {
  const { data, task } = await dispatch({ method, path, params, caller });
  if (task === undefined) return data;
  const { exitstatus } = await world.tasks.finished(task.upid);
  if (exitstatus !== "OK") throw new Error(exitstatus);
  return undefined;
}

interface Answer {
  readonly status: number | undefined;
  readonly reason: string | undefined;
  readonly body: string;
}

/** Send bytes to the API as a client on the network does, in pieces. */
async function send(path: string, type: string, pieces: readonly Buffer[], length?: number): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    const options = {
      method: "POST",
      ca: readFileSync(server.caFile),
      headers: {
        authorization: `PVEAPIToken=${TASKS.user}!${TASKS.token}=${SECRET}`,
        "content-type": type,
        ...(length === undefined ? {} : { "content-length": length }),
      },
    };
    const outgoing = request(`${server.url}${path}`, options, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => {
        body += text;
      });
      response.on("end", () =>
        resolve({ status: response.statusCode, reason: response.statusMessage, body }),
      );
    });
    outgoing.once("error", reject);
    for (const piece of pieces) outgoing.write(piece);
    if (length === undefined) outgoing.end();
    // More was promised than comes: the client dies half-way.
    else setTimeout(() => outgoing.destroy(), 100);
  });
}

/** A form as clients send it, file last. */
async function form(
  filename: string,
  file: Buffer,
  fields: Readonly<Record<string, string>>,
): Promise<{ type: string; bytes: Buffer }> {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) data.set(name, value);
  data.set("filename", new Blob([file]), filename);
  const encoded = new Response(data);
  return {
    type: encoded.headers.get("content-type") ?? "",
    bytes: Buffer.from(await encoded.arrayBuffer()),
  };
}

/** Upload a file and wait for its task. */
async function upload(
  filename: string,
  file: Buffer,
  fields: Readonly<Record<string, string>> = { content: "iso" },
): Promise<void> {
  const { type, bytes } = await form(filename, file, fields);
  const { status, reason, body } = await send(`${LOCAL}/upload`, type, [bytes]);
  if (status !== 200) throw new Error(`${status} ${reason} ${body}`);
  const { exitstatus } = await world.tasks.finished((JSON.parse(body) as { data: string }).data);
  if (exitstatus !== "OK") throw new Error(exitstatus);
}

function sha256(data: Buffer): string {
  return createHash("sha256").update(data).digest("hex");
}

/** A file of the storage "local". */
function stored(path: string): Buffer {
  return readFileSync(world.files.toHost(`/var/lib/vz/${path}`));
}

function leftUploads(): string[] {
  return readdirSync(world.files.toHost("/var/tmp"));
}

describe("an upload", () => {
  test("arrives as it was sent, its checksum compared, and writes over what was there", async () => {
    await upload("a.iso", Buffer.from("before"));
    await upload("a.iso", ISO, {
      content: "iso",
      checksum: sha256(ISO).toUpperCase(),
      "checksum-algorithm": "sha256",
    });
    assert.ok(stored("template/iso/a.iso").equals(ISO));
    assert.deepEqual(leftUploads(), []);
  });

  test("is put together from pieces of any size", async () => {
    const file = Buffer.from("x\r\n--\r\n----\r\n\r\n");
    const { type, bytes } = await form("b.iso", file, { content: "iso" });
    const { status, body } = await send(
      `${LOCAL}/upload`,
      type,
      [...bytes].map((byte) => Buffer.from([byte])),
    );
    assert.equal(status, 200, body);
    await world.tasks.finished((JSON.parse(body) as { data: string }).data);
    assert.ok(stored("template/iso/b.iso").equals(file));
  });

  test("with another checksum leaves nothing", async () => {
    const wrong = { content: "iso", checksum: "0".repeat(64), "checksum-algorithm": "sha256" };
    await assert.rejects(upload("c.iso", ISO, wrong), {
      message: `checksum mismatch: got '${sha256(ISO)}' != expect '${"0".repeat(64)}'`,
    });
    assert.throws(() => stored("template/iso/c.iso"), { code: "ENOENT" });
    assert.deepEqual(leftUploads(), []);
  });

  test("that breaks off leaves nothing, nor does one that is refused", async () => {
    const { type, bytes } = await form("d.iso", ISO, { content: "iso" });
    await assert.rejects(send(`${LOCAL}/upload`, type, [bytes.subarray(0, 100_000)], bytes.length));
    await assert.rejects(upload("d.txt", ISO), /400 .*wrong file extension/);
    await assert.rejects(upload("d.iso", ISO, { content: "snippets" }), /400 .*'iso, vztmpl, import'/);
    const broken = await send(`${LOCAL}/upload`, "multipart/form-data; boundary=b", [Buffer.from("nothing")]);
    assert.equal(broken.status, 400);
    for (let tries = 0; leftUploads().length > 0 && tries < 50; tries += 1) await sleep(20);
    assert.deepEqual(leftUploads(), []);
    assert.throws(() => stored("template/iso/d.iso"), { code: "ENOENT" });
  });

  test("is refused before it is read, in the status line alone", async () => {
    const { type, bytes } = await form("e.iso", ISO, { content: "iso" });
    const answer = await send("/nodes/pve/storage/vmdata/upload", type, [bytes]);
    assert.deepEqual(answer, {
      status: 403,
      reason: "Permission check failed (/storage/vmdata, Datastore.AllocateTemplate)",
      body: "",
    });
  });

  test("keeps no path in its name", async () => {
    await upload("../../etc/f g.iso", ISO);
    assert.equal(stored("template/iso/f_g.iso").length, ISO.length);
  });

  test("of an image can be imported as a disk by the same token", async () => {
    const file = join(base, "image.qcow2");
    await createQcow2(file, 1024 ** 3);
    await upload("image.qcow2", readFileSync(file), { content: "import" });
    await call("POST", QEMU, {
      vmid: 9200,
      scsi0: "vmdata:0,import-from=local:import/image.qcow2,format=qcow2",
    });
    const { scsi0 } = (await call("GET", `${QEMU}/9200/config`)) as { scsi0: string };
    assert.equal(scsi0, "vmdata:9200/vm-9200-disk-0.qcow2,size=1G");
  });
});

describe("a storage that gets full while the node runs", () => {
  const faults = faultControl(base);
  const total = async (): Promise<unknown> =>
    ((await call("GET", `${LOCAL}/status`)) as { total: number }).total;
  after(() => faults.clear());

  test("fails an upload in the middle, says so, and has lost what the upload was to write over", async () => {
    await upload("full.iso", ISO);
    faults.set([{ where: "storage", match: "local", effect: { size: 1_500_000 } }]);
    await assert.rejects(upload("full.iso", Buffer.alloc(2_000_000)), {
      message:
        "import failed: cp: error writing '/var/lib/vz/template/iso/full.iso': No space left on device",
    });
    assert.equal(await total(), 1_500_000);
    assert.throws(() => stored("template/iso/full.iso"), { code: "ENOENT" });
    assert.deepEqual(leftUploads(), []);
    faults.clear();
    await upload("full.iso", Buffer.alloc(2_000_000));
  });
});

describe("a VM that boots an ISO", () => {
  const VM = `${QEMU}/9100`;
  before(async () => {
    await upload("installer.iso", ISO);
    await call("POST", QEMU, {
      vmid: 9100,
      name: IMAGE,
      agent: 1,
      scsi0: "vmdata:2,format=qcow2",
      ide2: "local:iso/installer.iso,media=cdrom",
      boot: "order=scsi0;ide2",
    });
    await call("POST", `${VM}/status/start`);
  });

  test("has nothing inside that answers, whatever its name says", async () => {
    // A guest of ours would have booted by then.
    await sleep(700);
    await assert.rejects(call("GET", `${VM}/agent/network-get-interfaces`), {
      message: "QEMU guest agent is not running",
    });
  });

  test("keeps what was typed, until it is switched on again", async () => {
    for (const key of ["esc", "e", "ctrl-x", "shift-a"]) await call("PUT", `${VM}/sendkey`, { key });
    await assert.rejects(call("PUT", `${VM}/sendkey`, { key: "enter" }), {
      message: "invalid parameter: enter",
    });
    const typed = (): unknown =>
      JSON.parse(readFileSync(join(base, "state", "vms", "9100.json"), "utf8")).typed;
    assert.deepEqual(typed(), ["esc", "e", "ctrl-x", "shift-a"]);
    await call("POST", `${VM}/status/shutdown`);
    assert.deepEqual(typed(), ["esc", "e", "ctrl-x", "shift-a"]);
    await assert.rejects(call("PUT", `${VM}/sendkey`, { key: "esc" }), { message: "VM 9100 not running" });
    await call("POST", `${VM}/status/start`);
    assert.equal(typed(), undefined);
    await call("POST", `${VM}/status/stop`);
  });

  test("does not start without its ISO", async () => {
    await call("DELETE", `${LOCAL}/content/local:iso/installer.iso`);
    await assert.rejects(call("POST", `${VM}/status/start`), {
      message: "volume 'local:iso/installer.iso' does not exist",
    });
  });

  test("becomes a template whose clones are ours, with a cloud-init drive and without the ISO", async () => {
    await call("POST", `${VM}/template`);
    await call("POST", `${VM}/config`, { ide1: "vmdata:cloudinit", delete: "ide2", description: "built" });
    const config = (await call("GET", `${VM}/config`)) as Record<string, unknown>;
    assert.equal(config.ide1, "vmdata:9100/vm-9100-cloudinit.qcow2,media=cdrom");
    assert.equal(config.ide2, undefined);
    await call("POST", `${VM}/clone`, { newid: 101, full: 1, storage: "vmdata", name: "k3s-s1" });
    const clone = (await call("GET", `${QEMU}/101/config`)) as Record<string, unknown>;
    assert.equal(clone.meta, config.meta, "a full clone keeps the template's creation time");
  });
});

describe("a download by the node", () => {
  const web = createServer((incoming, response) => {
    response.statusCode = incoming.url === "/a.iso" ? 200 : 404;
    response.end(ISO);
  });
  let url: string;
  before(async () => {
    await new Promise<void>((listening) => web.listen(0, "127.0.0.1", listening));
    url = `http://127.0.0.1:${(web.address() as AddressInfo).port}`;
  });
  after(() => web.close());

  const fetch = async (params: Record<string, string>, caller?: typeof TASKS): Promise<unknown> =>
    await call(
      "POST",
      `${LOCAL}/download-url`,
      { content: "iso", filename: "web.iso", ...params },
      caller ?? ROOT,
    );

  test("is nothing that the tasks' token may start", async () => {
    await assert.rejects(fetch({ url: `${url}/a.iso` }, TASKS), { message: "Permission check failed" });
  });

  test("works on this machine", async () => {
    const checksum = { checksum: sha256(ISO), "checksum-algorithm": "sha256" };
    await fetch({ url: `${url}/a.iso`, ...checksum });
    assert.ok(stored("template/iso/web.iso").equals(ISO));
  });

  const failures: Readonly<Record<string, readonly [params: Record<string, string>, message: RegExp]>> = {
    "an address elsewhere": [
      { url: "https://example.org/a.iso" },
      /^download failed: wget: unable to resolve host address 'example\.org'$/,
    ],
    "a port where nobody listens": [
      { url: "http://127.0.0.1:9/a.iso" },
      /^download failed: Connecting to 127\.0\.0\.1:9\.\.\. failed: Connection refused\.$/,
    ],
    "a missing file": [{ url: "" }, /^download failed: ERROR 404: Not Found\.$/],
    "another scheme": [{ url: "file:///etc/passwd" }, /^Parameter verification failed\.$/],
    "a checksum without its algorithm": [{ url: "http://127.0.0.1:9/", checksum: "0" }, /^Parameter/],
  };
  for (const [what, [params, message]] of Object.entries(failures)) {
    test(`fails for ${what}`, async () => {
      const target = params.url === "" ? { url: `${url}/b.iso` } : params;
      await assert.rejects(fetch({ filename: "none.iso", ...target }), { message });
      assert.throws(() => stored("template/iso/none.iso"), { code: "ENOENT" });
    });
  }

  test("fails for another checksum, and leaves nothing", async () => {
    const checksum = { checksum: "0".repeat(64), "checksum-algorithm": "sha256" };
    await assert.rejects(
      fetch({ filename: "bad.iso", url: `${url}/a.iso`, ...checksum }),
      /^Error: checksum mismatch: got/,
    );
    const left = readdirSync(world.files.toHost("/var/lib/vz/template/iso"));
    assert.deepEqual(
      left.filter((name) => name.startsWith("bad")),
      [],
    );
  });
});
