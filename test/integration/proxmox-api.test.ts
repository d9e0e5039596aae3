import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { createServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import * as v from "valibot";
import { InterruptedError, type TaskError } from "../../lib/errors.ts";
import {
  type ApiAccess,
  ApiFailure,
  findTemplate,
  inventory,
  listVms,
  ProxmoxApi,
  shownCertificate,
  type TlsTrust,
  version,
} from "../../lib/proxmox/index.ts";
import { type Sandbox, startSandbox } from "../../lib/sandbox/index.ts";
import { issueCertificate, makeAuthority, type Pair } from "../../lib/sandbox/x509.ts";
import { runSteps } from "../../lib/task/run.ts";
import { PveApi } from "../support/pve.ts";
import { refused as refusalOf } from "../support/refused.ts";

/** Our client of the API, against the embedded node; and against servers that behave as no node should. */

const dir = mkdtempSync(join(tmpdir(), "homelab-api-"));
const SECRET = "12345678-90ab-cdef-1234-567890abcdef";
const anything = v.unknown();

let sandbox: Sandbox;
const closing: (() => Promise<void>)[] = [];

before(async () => {
  sandbox = await startSandbox({ dir });
});

after(async () => {
  await Promise.all(closing.map(async (close) => await close()));
  await sandbox?.stop();
  rmSync(dir, { recursive: true, force: true });
});

function client(access: Partial<ApiAccess> = {}): ProxmoxApi {
  const { apiUrl, tokenId, tokenSecret, caFile } = sandbox.endpoints;
  const api = new ProxmoxApi({ url: new URL(apiUrl), tokenId, tokenSecret, tls: { caFile }, ...access });
  closing.push(async () => await api.close());
  return api;
}

/** A failure that a person meets: with all its words, and without any secret. */
async function refused(action: Promise<unknown>): Promise<TaskError> {
  const error = await refusalOf(action);
  const all = [error.what, error.why, ...error.todo, ...error.left, error.message, error.stack].join("\n");
  for (const secret of [sandbox.endpoints.tokenSecret, SECRET])
    assert.ok(!all.includes(secret), "a secret is told");
  return error;
}

async function asked(tls: TlsTrust, url = new URL(sandbox.endpoints.apiUrl)): Promise<string> {
  return await version(client({ tls, url }));
}

describe("trust in the node's certificate", () => {
  test("its CA in a file is enough", async () => {
    assert.equal(await asked({ caFile: sandbox.endpoints.caFile }), "9.2.11");
  });

  test("its fingerprint is enough, by whatever name it is called", async () => {
    const url = new URL(sandbox.endpoints.apiUrl);
    const { fingerprint } = await shownCertificate(url);
    assert.equal(await asked({ fingerprint }), "9.2.11");
    assert.equal(await asked({ insecure: true }), "9.2.11");
  });

  test("without either it is refused, and both ways out are told", async () => {
    const { what, why, todo } = await refused(asked({}));
    const { origin } = new URL(sandbox.endpoints.apiUrl);
    const { fingerprint } = await shownCertificate(new URL(origin));
    assert.equal(what, `The Proxmox API at ${origin} cannot be used`);
    assert.match(why ?? "", /signed by an authority this machine does not know/);
    assert.ok(todo.includes("$ scp root@127.0.0.1:/etc/pve/pve-root-ca.pem ~/pve-root-ca.pem"));
    assert.match(todo.join("\n"), new RegExp(`PM_TLS_FINGERPRINT=${fingerprint}`));
  });

  test("another fingerprint is refused with the one that was seen", async () => {
    const { why, todo } = await refused(asked({ fingerprint: Array(32).fill("AB").join(":") }));
    assert.match(why ?? "", /^Its certificate is not the pinned one; its fingerprint is ([0-9A-F]{2}:){31}/);
    assert.match(todo.at(-1) ?? "", /somebody may be answering in the node's place/);
  });

  const files: Readonly<Record<string, readonly [content: string | undefined, why: RegExp]>> = {
    "is missing": [undefined, /CA file .*missing.* cannot be used: ENOENT/],
    "holds no certificate": ["nonsense\n", /it holds no PEM certificate/],
    "holds a damaged certificate": [
      "-----BEGIN CERTIFICATE-----\nbm9uc2Vuc2U=\n-----END CERTIFICATE-----\n",
      /CA file .* cannot be used/,
    ],
  };
  for (const [title, [content, why]] of Object.entries(files)) {
    test(`a CA file that ${title} is named, not the network blamed`, async () => {
      const caFile = join(dir, content === undefined ? "missing.pem" : `${title.replaceAll(" ", "-")}.pem`);
      if (content !== undefined) writeFileSync(caFile, content);
      const error = await refused(asked({ caFile }));
      assert.match(error.why ?? "", why);
      assert.match(error.todo.join("\n"), /PM_TLS_CA/);
    });
  }
});

describe("what the API refuses", () => {
  test("a wrong token", async () => {
    const error = await refused(version(client({ tokenSecret: SECRET })));
    assert.ok(error instanceof ApiFailure);
    assert.equal(error.status, 401);
    assert.equal(error.what, "Proxmox does not accept the API token");
    assert.match(error.why ?? "", /^401 \S/);
    assert.match(
      error.todo.join("\n"),
      /PM_API_TOKEN_ID \(USER@REALM!TOKENID\) and PM_API_TOKEN_SECRET in \.env/,
    );
  });

  const { DELETE, POST, GET } = { DELETE: "DELETE", POST: "POST", GET: "GET" } as const;
  const refusals: Readonly<
    Record<
      string,
      readonly [
        method: "GET" | "POST" | "DELETE",
        path: string,
        params: Record<string, string | number>,
        status: number,
        why: RegExp,
        todo: RegExp,
      ]
    >
  > = {
    "a privilege that the token lacks": [
      DELETE,
      "/nodes/pve/storage/vmdata/content/vmdata:100%2Fvm-100-disk-0.qcow2",
      {},
      403,
      /^Permission check failed \(\/storage\/vmdata, Datastore\.Allocate\)$/,
      /^Give the token Datastore\.Allocate on \/storage\/vmdata \(/,
    ],
    "parameters that are wrong, each by name": [
      POST,
      "/nodes/pve/qemu",
      { vmid: 150, name: "not a name", cores: "many" },
      400,
      /^Parameter verification failed\.\nname: .*DNS name\ncores: type check/,
      /the node's log may:\n\$ journalctl -u pveproxy/,
    ],
    "a VM that is not there": [
      GET,
      "/nodes/pve/qemu/4711/config",
      {},
      500,
      /^Configuration file 'nodes\/pve\/qemu-server\/4711\.conf' does not exist$/,
      /the node's log may:\n\$ journalctl -u pveproxy/,
    ],
    "a path that it does not know": [GET, "/nonsense", {}, 501, /not implemented/, /8 or 9 is needed/],
  };
  for (const [title, [method, path, params, status, why, todo]] of Object.entries(refusals)) {
    test(title, async () => {
      const api = client();
      const call = method === GET ? api.get(path, anything, params) : api.runTask(method, path, params);
      const error = await refused(call);
      assert.ok(error instanceof ApiFailure);
      assert.equal(error.status, status);
      assert.equal(error.what, `Proxmox refused ${method} ${path}`);
      assert.match(error.why ?? "", why);
      assert.match(error.todo.join("\n"), todo);
    });
  }

  test("a refusal within a step keeps its words when what was made is rolled back", async () => {
    const error = await refused(
      runSteps(
        [
          {
            title: "Ask",
            run: async ({ undo }) => {
              undo("VM 9002 removed", async () => {});
              await client().get("/nonsense", anything);
            },
          },
        ],
        {
          signal: new AbortController().signal,
          yes: false,
          reporter: { drawsList: false, step: () => {}, output: () => {}, note: () => {} },
        },
      ),
    );
    assert.ok(error instanceof ApiFailure);
    assert.equal(error.status, 501);
    assert.deepEqual(error.left, ["Rolled back: VM 9002 removed"]);
  });
});

describe("the node's tasks and VMs", () => {
  const qemu = "/nodes/pve/qemu";

  test("a task that ends well; its log is handed on", async () => {
    const lines: string[] = [];
    const options = { onLine: (line: string): void => void lines.push(line) };
    await client().runTask(
      "POST",
      qemu,
      { vmid: 200, name: "one", scsi0: "vmdata:1", onboot: true },
      options,
    );
    assert.match(lines.join("\n"), /scsi0: successfully created disk/);
    assert.equal(lines.at(-1), "TASK OK");
  });

  test("a task that fails says so in its own words, once, and where its log is", async () => {
    const error = await refused(
      client().runTask("PUT", `${qemu}/200/resize`, { disk: "scsi0", size: "512M" }),
    );
    assert.equal(error.what, "The node's task resize 200 failed");
    assert.equal(error.why, "shrinking disks is not supported");
    assert.match(
      error.todo.at(-1) ?? "",
      /^\$ pvesh get '?\/nodes\/pve\/tasks\/UPID:pve:.*:resize:200:.*\/log'?$/,
    );
  });

  test("VMs are listed by number, with what their configuration says", async () => {
    const pve = new PveApi(sandbox.endpoints);
    await pve.createTemplate(110, "golden");
    await pve.createVm(120, "k3s-s1", { ipconfig0: "ip=10.23.45.31/24,gw=10.23.45.1" });
    const api = client();
    assert.deepEqual(
      (await listVms(api)).map(({ vmid, name, template }) => ({ vmid, name, template })),
      [
        { vmid: 110, name: "golden", template: true },
        { vmid: 120, name: "k3s-s1", template: false },
        { vmid: 200, name: "one", template: false },
      ],
    );
    const vm = (await inventory(api)).find(({ vmid }) => vmid === 120);
    assert.deepEqual(vm?.addresses, ["10.23.45.31/24"]);
    assert.deepEqual(vm?.disks, { scsi0: 1 }, "neither the EFI disk nor the cloud-init drive counts");
    assert.equal((await findTemplate(api, "golden"))?.vmid, 110);
    assert.equal(await findTemplate(api, "k3s-s1"), undefined, "a VM is no template");
  });
});

/** A server of the test's own: what a node never does on demand. */
async function server(
  answer: (request: IncomingMessage, response: ServerResponse, count: number) => void,
  certificate?: Pair,
): Promise<{ url: URL; caFile: string; calls: string[] }> {
  const pair = certificate ?? (await certified({ ips: ["127.0.0.1"] }));
  const calls: string[] = [];
  const listener: RequestListener = (request, response) => {
    calls.push(`${request.method} ${request.url}`);
    answer(request, response, calls.length);
  };
  const https = createServer(pair, listener);
  await new Promise<void>((resolve) => https.listen(0, "127.0.0.1", resolve));
  closing.push(async () => {
    https.closeAllConnections();
    await new Promise((resolve) => https.close(resolve));
  });
  const { port } = https.address() as AddressInfo;
  return { url: new URL(`https://127.0.0.1:${port}/api2/json`), caFile: OWN_CA, calls };
}

const OWN_CA = join(dir, "own-ca.pem");
let authority: Promise<Pair> | undefined;

/** A certificate of a CA of the test's own. */
async function certified(names: { ips?: string[]; dns?: string[]; days?: number }): Promise<Pair> {
  authority ??= makeAuthority({ commonName: "A test's own" }).then((pair) => {
    writeFileSync(OWN_CA, pair.cert);
    return pair;
  });
  return await issueCertificate(await authority, { subject: { commonName: "x" }, usage: "server", ...names });
}

function json(response: ServerResponse, data: unknown): void {
  response.setHeader("content-type", "application/json").end(JSON.stringify({ data }));
}

const VERSION = { version: "8.4.1", release: "8.4" };

/** A worker that reports these states, one after another, and has these lines. */
async function worker(states: readonly object[], log: (count: number) => readonly string[]) {
  let polled = 0;
  return await server((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? "", "https://node");
    if (request.method === "POST") return json(response, "UPID:pve:1:2:3:qmstart:100:homelab@pve!tasks:");
    if (pathname.endsWith("/status")) return json(response, states[Math.min(polled++, states.length - 1)]);
    const lines = log(polled).map((t, index) => ({ n: index + 1, t }));
    const [start, limit] = [Number(searchParams.get("start")), Number(searchParams.get("limit"))];
    // As a real node does for a log without lines.
    json(response, lines.length === 0 ? [{ n: 1, t: "no content" }] : lines.slice(start, start + limit));
  });
}

describe("what happens on the way to a node", () => {
  test("nothing listens", async () => {
    // The port was free a moment ago.
    const free = createTcpServer();
    await new Promise<void>((resolve) => free.listen(0, "127.0.0.1", resolve));
    const { port } = free.address() as AddressInfo;
    await new Promise((resolve) => free.close(resolve));
    for (const tls of [{}, { fingerprint: Array(32).fill("AB").join(":") }]) {
      const { what, why, todo } = await refused(asked(tls, new URL(`https://127.0.0.1:${port}/api2/json`)));
      assert.equal(what, `The Proxmox API at https://127.0.0.1:${port} cannot be used`);
      assert.equal(why, "Nothing listens there (connection refused)");
      assert.deepEqual(todo, [
        "Check PM_API_URL, and that this machine reaches it:",
        `$ curl -k https://127.0.0.1:${port}`,
        "Without a node, try --sandbox",
      ]);
    }
  });

  test("a name that does not exist", async () => {
    const { why } = await refused(asked({}, new URL("https://no-such-node.invalid:8006/api2/json")));
    assert.equal(why, "Its name is not known (DNS)");
  });

  test("a certificate for another name; the fingerprint still pins it", async () => {
    const { url, caFile } = await server(
      (_, response) => json(response, VERSION),
      await certified({ dns: ["pve.lan"] }),
    );
    const { why, todo } = await refused(asked({ caFile }, url));
    assert.match(why ?? "", /127\.0\.0\.1/);
    assert.match(todo.join("\n"), /Use a name or address that is in the certificate as PM_API_URL/);
    const { fingerprint } = await shownCertificate(url);
    assert.equal(await asked({ fingerprint }, url), "8.4.1");
  });

  test("a certificate that has expired", async () => {
    const old = await certified({ ips: ["127.0.0.1"], days: -0.5 });
    const { url, caFile } = await server((_, response) => json(response, VERSION), old);
    const { why, todo } = await refused(asked({ caFile }, url));
    assert.equal(why, "Its certificate has expired");
    assert.ok(todo.includes("$ pvecm updatecerts --force"));
  });

  test("something that does not speak HTTPS", async () => {
    const plain = createTcpServer((socket) => {
      socket.on("error", () => {});
      socket.end("SSH-2.0-OpenSSH_9.9\r\n", () => socket.destroy());
    });
    await new Promise<void>((resolve) => plain.listen(0, "127.0.0.1", resolve));
    closing.push(async () => void (await new Promise((resolve) => plain.close(resolve))));
    const { port } = plain.address() as AddressInfo;
    const { why } = await refused(asked({ insecure: true }, new URL(`https://127.0.0.1:${port}/api2/json`)));
    assert.equal(why, "It does not speak HTTPS");
  });

  test("a client that asked in vain for the pinned certificate is of use once the node is up", async () => {
    let up = false;
    const pair = await certified({ ips: ["127.0.0.1"] });
    const https = createServer(pair, (_, response) => json(response, VERSION));
    const node = createTcpServer((socket) => {
      socket.on("error", () => {});
      if (up) https.emit("connection", socket);
      else socket.destroy();
    });
    await new Promise<void>((resolve) => node.listen(0, "127.0.0.1", resolve));
    closing.push(async () => {
      https.closeAllConnections();
      await new Promise((resolve) => node.close(resolve));
    });
    const url = new URL(`https://127.0.0.1:${(node.address() as AddressInfo).port}/api2/json`);
    const fingerprint = new X509Certificate(pair.cert).fingerprint256;
    const api = client({ url, tls: { fingerprint } });
    assert.equal((await refused(version(api))).why, "It closed the connection");
    up = true;
    assert.equal(await version(api), "8.4.1");
  });

  test("a reading whose connection breaks is tried again", async () => {
    const { url, caFile, calls } = await server((request, response, count) => {
      if (count < 3) request.socket.destroy();
      else json(response, VERSION);
    });
    assert.equal(await asked({ caFile }, url), "8.4.1");
    assert.equal(calls.length, 3);
  });

  test("but not for ever", async () => {
    const { url, caFile, calls } = await server((request) => request.socket.destroy());
    const { why } = await refused(asked({ caFile }, url));
    assert.equal(why, "It closed the connection");
    assert.equal(calls.length, 3);
  });

  test("a node that takes its time is waited for as long as is set, and no longer", async () => {
    const { url, caFile, calls } = await server((_, response) => {
      setTimeout(() => json(response, VERSION), 600);
    });
    assert.equal(await version(client({ url, tls: { caFile }, timeoutMs: 5_000 })), "8.4.1");
    assert.equal(calls.length, 1);
    const { why, todo } = await refused(version(client({ url, tls: { caFile }, timeoutMs: 100 })));
    assert.equal(why, "It does not answer");
    assert.equal(todo[2], "If it is only slow, wait longer: PM_API_TIMEOUT=120");
    assert.equal(calls.length, 4);
    await refused(version(client({ url, tls: { caFile }, timeoutMs: 100, asksAgain: false })));
    assert.equal(calls.length, 5);
  });

  test("an answer that breaks off is tried again, too", async () => {
    const { url, caFile, calls } = await server((_, response, count) => {
      if (count > 1) return json(response, VERSION);
      response.setHeader("content-length", 1000).write('{"data":');
      setImmediate(() => response.destroy());
    });
    assert.equal(await asked({ caFile }, url), "8.4.1");
    assert.equal(calls.length, 2);
  });

  test("a change is never sent twice, and that its fate is not known is said", async () => {
    const { url, caFile, calls } = await server((request) => request.socket.destroy());
    const error = await refused(
      client({ url, tls: { caFile } }).runTask("POST", "/nodes/pve/qemu", { vmid: 100 }),
    );
    assert.deepEqual(calls, ["POST /api2/json/nodes/pve/qemu"]);
    assert.deepEqual(error.left, ["Whether it has carried out POST /nodes/pve/qemu is not known"]);
    assert.match(error.todo[0] ?? "", /list of tasks/);
  });

  const page = "<!DOCTYPE html>\n<html><body>Bad Gateway</body></html>\n";
  for (const [title, status] of [
    ["an error", 502],
    ["a login form", 200],
  ] as const) {
    test(`a proxy answers with a page: ${title}`, async () => {
      const { url, caFile } = await server((_, response) =>
        response.writeHead(status, { "content-type": "text/html" }).end(page),
      );
      const { what, why, todo } = await refused(asked({ caFile }, url));
      assert.equal(what, "GET /version: what answered is not the Proxmox API");
      assert.match(why ?? "", status === 502 ? /^502 Bad Gateway$/ : /^<!DOCTYPE html>/);
      assert.match(todo.join("\n"), /use the node's own address as PM_API_URL/);
    });
  }

  test("an empty answer is not taken for an answer", async () => {
    const { url, caFile } = await server((_, response) => response.end());
    assert.equal((await refused(asked({ caFile }, url))).why, "The answer is empty");
  });

  test("an answer of another form is refused with what is wrong about it", async () => {
    const { url, caFile } = await server((_, response) => json(response, { version: 9 }));
    const { what, why } = await refused(asked({ caFile }, url));
    assert.equal(what, "GET /version: the answer has another form than expected");
    assert.match(why ?? "", /^version: /m);
    assert.match(why ?? "", /^release: /m);
  });
});

describe("waiting for a task", () => {
  const running = { status: "running" };

  test("warnings are no failure", async () => {
    const { url, caFile } = await worker([{ status: "stopped", exitstatus: "WARNINGS: 1" }], () => [
      "TASK WARNINGS: 1",
    ]);
    await client({ url, tls: { caFile } }).runTask("POST", "/nodes/pve/qemu/100/status/start", {});
  });

  test("a log is handed on whole: its first line, though it was empty, and its last of many", async () => {
    const all = Array.from({ length: 1200 }, (_, index) => `line ${index}`);
    const { url, caFile } = await worker([running, { status: "stopped", exitstatus: "OK" }], (polled) =>
      polled > 1 ? all : [],
    );
    const lines: string[] = [];
    const options = { onLine: (line: string): void => void lines.push(line) };
    await client({ url, tls: { caFile } }).runTask("POST", "/nodes/pve/qemu/100/status/start", {}, options);
    assert.deepEqual(lines, all);
  });

  for (const when of ["between two polls", "while an answer is awaited"]) {
    test(`it ends when it is interrupted ${when}`, async () => {
      const interrupt = new AbortController();
      const silent = when.startsWith("while");
      const { url, caFile, calls } = await server((request, response) => {
        if (request.method === "POST") json(response, "UPID:pve:1:2:3:qmstart:100:homelab@pve!tasks:");
        else if (silent) setImmediate(() => interrupt.abort(new InterruptedError()));
        else if (request.url?.includes("/log")) {
          json(response, []);
          setTimeout(() => interrupt.abort(new InterruptedError()), 20);
        } else json(response, running);
      });
      const started = performance.now();
      const { signal } = interrupt;
      const error = await refused(
        client({ url, tls: { caFile } }).runTask("POST", "/nodes/pve/qemu/100/status/start", {}, { signal }),
      );
      assert.ok(error instanceof InterruptedError, error.message);
      assert.ok(performance.now() - started < 5000);
      assert.equal(calls.filter((call) => call.startsWith("POST")).length, 1);
    });
  }
});
