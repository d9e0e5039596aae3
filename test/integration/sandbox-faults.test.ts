import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { networkDelay, type Sandbox, startSandbox } from "../../lib/sandbox/index.ts";
import { PveApi } from "../support/pve.ts";
import { type Finished, onNode } from "../support/ssh.ts";

const MIB = 1024 ** 2;
const base = mkdtempSync(join(tmpdir(), "homelab-faults-"));
let sandbox: Sandbox;
let api: PveApi;

before(async () => {
  sandbox = await startSandbox({ dir: join(base, "sandbox") });
  api = new PveApi(sandbox.endpoints);
});
afterEach(() => sandbox.faults.clear());
after(async () => {
  await sandbox?.stop();
  rmSync(base, { recursive: true, force: true });
});

async function run(line: string, input?: string | Buffer): Promise<Finished> {
  return await onNode(sandbox.endpoints, line, input);
}

/** How long an action takes, in milliseconds. */
async function timed(action: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await action();
  return performance.now() - start;
}

/** For a request over a connection of its own. */
function options(): { agent: false; ca: Buffer; headers: Record<string, string> } {
  const { caFile, tokenId, tokenSecret } = sandbox.endpoints;
  const headers = { authorization: `PVEAPIToken=${tokenId}=${tokenSecret}` };
  return { agent: false, ca: readFileSync(caFile), headers };
}

/** What a client sees of an upload of an ISO. */
async function upload(name: string, content: Buffer): Promise<string> {
  const { agent, ca, headers } = options();
  const head = `--x\r\nContent-Disposition: form-data; name="content"\r\n\r\niso\r\n--x\r\nContent-Disposition: form-data; name="filename"; filename="${name}"\r\n\r\n`;
  const body = Buffer.concat([Buffer.from(head), content, Buffer.from("\r\n--x--\r\n")]);
  return await new Promise((resolve) => {
    const call = request(
      `${sandbox.endpoints.apiUrl}/nodes/pve/storage/local/upload`,
      {
        method: "POST",
        agent,
        ca,
        headers: {
          ...headers,
          "content-type": "multipart/form-data; boundary=x",
          "content-length": body.length,
        },
      },
      (response) => resolve(String(response.resume().statusCode)),
    );
    call.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    call.end(body);
  });
}

describe("a call of the API", () => {
  const GET = "/nodes/pve/qemu";
  const version = async (): Promise<unknown> => await api.call("GET", "/version");

  test("fails the third time and the fourth, with the status and words it is told", async () => {
    sandbox.faults.set([
      {
        where: "api",
        match: "GET /nodes/*/qemu",
        nth: 3,
        count: 2,
        effect: { status: 503, message: "too busy" },
      },
    ]);
    await api.call("GET", GET);
    await version();
    await api.call("GET", GET);
    const refused = { message: `GET ${GET}: 503 too busy {"data":null,"message":"too busy\\n"}` };
    await assert.rejects(api.call("GET", GET), refused);
    await assert.rejects(api.call("GET", GET), refused);
    await api.call("GET", GET);
    assert.deepEqual(
      sandbox.faults.struck().map(({ rule, what }) => [rule, what]),
      [
        [0, `GET ${GET}`],
        [0, `GET ${GET}`],
      ],
    );
  });

  test("names parameters, and says a failed authentication in the status line alone", async () => {
    sandbox.faults.set([
      {
        where: "api",
        effect: { status: 400, message: "Parameter verification failed.", errors: { vmid: "no" } },
      },
      { where: "api", nth: 2, effect: { status: 401, message: "No ticket" } },
    ]);
    await assert.rejects(version(), /400 Parameter verification failed\. .*"errors":\{"vmid":"no"\}/);
    await assert.rejects(version(), { message: "GET /version: 401 No ticket " });
  });

  test("meets a lock, in the node's words", async () => {
    sandbox.faults.set([{ where: "api", match: "PUT *", effect: { lock: true } }]);
    await assert.rejects(
      api.call("PUT", `${GET}/100/config`, { cores: 2 }),
      /500 can't lock file '\/var\/lock\/qemu-server\/lock-100\.conf' - got timeout/,
    );
  });

  test("loses its connection before it is carried out, or after", async () => {
    sandbox.faults.set([
      { where: "api", match: "POST *", effect: { reset: "before" } },
      { where: "api", match: "POST *", nth: 2, effect: { reset: "after" } },
    ]);
    const make = async (): Promise<unknown> => await api.call("POST", GET, { vmid: 120, name: "half" });
    const names = async (): Promise<string[]> => (await api.vms()).map(({ name }) => name);
    await assert.rejects(make(), { code: "ECONNRESET" });
    assert.deepEqual(await names(), []);
    await assert.rejects(make(), { code: "ECONNRESET" });
    assert.deepEqual(await names(), ["half"]);
    await api.destroy(120);
  });

  test("gets half an answer", async () => {
    sandbox.faults.set([{ where: "api", effect: { truncate: 5 } }]);
    const got = await new Promise<[string, string]>((resolve) => {
      request(`${sandbox.endpoints.apiUrl}/version`, options(), (answer) => {
        let text = "";
        answer.on("data", (chunk: Buffer) => {
          text += String(chunk);
        });
        answer.on("error", (error: NodeJS.ErrnoException) => resolve([text, error.code ?? ""]));
        answer.on("end", () => resolve([text, "whole"]));
      }).end();
    });
    assert.deepEqual(got, ['{"dat', "ECONNRESET"]);
  });

  test("is cut off in the middle of an upload, of which nothing stays", async () => {
    sandbox.faults.set([{ where: "api", match: "POST *upload", effect: { cut: MIB } }]);
    const content = Buffer.alloc(4 * MIB, "x");
    assert.match(await upload("cut.iso", content), /ECONNRESET|EPIPE/);
    assert.equal((await run("ls /var/tmp")).stdout, "");
    assert.equal(await upload("cut.iso", content), "200");
  });

  test("takes longer by the network's delay", async () => {
    sandbox.faults.set(networkDelay(150));
    assert.ok((await timed(version)) >= 150);
  });
});

describe("the certificate of the API", () => {
  /** What a client sees that has no connection yet. */
  const seen = async (): Promise<string> =>
    await new Promise((resolve) => {
      request(`${sandbox.endpoints.apiUrl}/version`, options(), (answer) =>
        resolve(String(answer.resume().statusCode)),
      )
        .on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
        .end();
    });

  test("has expired, or is a stranger's, and is the right one afterwards", async () => {
    const all = { where: "tls", count: "always" } as const;
    sandbox.faults.set([{ ...all, effect: { certificate: "expired" } }]);
    assert.equal(await seen(), "CERT_HAS_EXPIRED");
    sandbox.faults.set([{ ...all, effect: { certificate: "foreign" } }]);
    assert.equal(await seen(), "UNABLE_TO_VERIFY_LEAF_SIGNATURE");
    sandbox.faults.clear();
    assert.equal(await seen(), "200");
  });
});

describe("a task", () => {
  const VM = { vmid: 130, name: "t" };
  const make = async (): Promise<void> => await api.task("POST", "/nodes/pve/qemu", VM);
  const there = async (): Promise<boolean> => (await api.vms()).some(({ vmid }) => vmid === 130);

  test("fails with nothing done, or with everything", async () => {
    sandbox.faults.set([
      { where: "task", match: "qmcreate 130", effect: { fail: "no luck" } },
      { where: "task", match: "qmdestroy*", effect: { fail: "too late", when: "after" } },
    ]);
    await assert.rejects(make(), /no luck/);
    await make();
    await assert.rejects(api.destroy(130), /too late/);
    assert.equal(await there(), false);
  });

  test("vanishes: nobody knows its UPID", async () => {
    const tasks = async (): Promise<unknown> => await api.call("GET", "/nodes/pve/tasks");
    const before = await tasks();
    sandbox.faults.set([{ where: "task", effect: { vanish: "after" } }]);
    await assert.rejects(make(), /400 .*no such task/);
    assert.equal(await there(), true);
    assert.deepEqual(await tasks(), before);
    await api.destroy(130);
  });

  test("is killed, as it were, before its work: what the call had begun stays, locked", async () => {
    sandbox.faults.set([{ where: "task", match: "qmclone*", effect: { vanish: "before" } }]);
    await make();
    const clone = api.task("POST", "/nodes/pve/qemu/130/clone", { newid: 131, full: 1 });
    await assert.rejects(clone, /400 .*no such task/);
    assert.equal((await api.config(131)).lock, "clone");
    await assert.rejects(api.destroy(131), /VM is locked \(clone\)/);
    await api.destroy(130);
  });

  test("takes longer, or goes on until it is stopped", async () => {
    sandbox.faults.set([{ where: "task", effect: { delay: 400 } }]);
    assert.ok((await timed(make)) >= 400);
    sandbox.faults.set([{ where: "task", effect: { hang: true } }]);
    const upid = String(await api.call("DELETE", "/nodes/pve/qemu/130"));
    const task = `/nodes/pve/tasks/${encodeURIComponent(upid)}`;
    const status = async (): Promise<{ status: string; exitstatus?: string }> =>
      (await api.call("GET", `${task}/status`)) as { status: string; exitstatus?: string };
    assert.equal((await status()).status, "running");
    await api.call("DELETE", task);
    while ((await status()).status === "running");
    assert.equal((await status()).exitstatus, "received interrupt");
    await api.destroy(130);
  });
});

describe("a storage", () => {
  const status = async (): Promise<{ active: number; total: number }> =>
    (await api.call("GET", "/nodes/pve/storage/local/status")) as { active: number; total: number };

  test("is as small as it is told, or out of reach", async () => {
    sandbox.faults.set([{ where: "storage", match: "local", effect: { size: 12 * MIB } }]);
    assert.deepEqual([(await status()).active, (await status()).total], [1, 12 * MIB]);
    sandbox.faults.set([{ where: "storage", match: "local", effect: { offline: true } }]);
    assert.deepEqual([(await status()).active, (await status()).total], [0, 0]);
    await assert.rejects(
      api.call("GET", "/nodes/pve/storage/local/content"),
      /500 unable to activate storage 'local' - directory '\/var\/lib\/vz' does not exist or is unreachable/,
    );
    assert.match((await run("pvesm status")).stdout, /^local +dir +inactive +0 +0 +0 +0\.00%$/m);
  });
});
