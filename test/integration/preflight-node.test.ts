import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import type { CheckResult } from "../../lib/check/index.ts";
import { NodeShell } from "../../lib/proxmox/index.ts";
import { type Sandbox, startSandbox } from "../../lib/sandbox/index.ts";
import { onlineFindings } from "../../tasks/preflight/node/places.ts";
import { type Changes, lookAtNode } from "../support/preflight.ts";
import { nodeCases, OF_SSH } from "../support/preflight-cases.ts";
import { PveApi } from "../support/pve.ts";
import { WorkingCopy } from "../support/working-copy.ts";

/** preflight's checks of a node: each is shown failing, with what was seen and what to do, and hides no other. */

const base = mkdtempSync(join(tmpdir(), "homelab-preflight-node-"));
const copy = new WorkingCopy();
let sandbox: Sandbox;
let shell: NodeShell;

before(async () => {
  sandbox = await startSandbox({ dir: join(base, "sandbox") });
  const { sshHost: host, sshUser: user, sshPort: port, sshConfigFile: configFile } = sandbox.endpoints;
  shell = new NodeShell({ host, user, port, configFile });
});
afterEach(() => sandbox.faults.clear());
after(async () => {
  await shell.close();
  await sandbox.stop();
  copy.remove();
  rmSync(base, { recursive: true, force: true });
});

const ALL = [
  ...["name", "api", "certificate", "token", "privileges", "version", "online", "storages", "bridge", "iso"],
  ...["template", "vms", "addresses", "host-key", "ssh", "qm", "upload", "clock", "resolver", "cpu"],
];

const look = async (changes: Changes = {}): Promise<Map<string, CheckResult>> =>
  await lookAtNode(sandbox, copy.root, changes);
const evidenceOf = ({ findings }: CheckResult): string => findings.map(({ evidence }) => evidence).join("\n");
const fixOf = ({ findings }: CheckResult): string => findings.flatMap(({ fix }) => fix).join("\n");
const byName = (results: Map<string, CheckResult>, name: string): CheckResult =>
  results.get(name) ?? assert.fail(`there is no check ${name}`);
const inState = (results: Map<string, CheckResult>, state: CheckResult["state"]): string[] =>
  ALL.filter((name) => byName(results, name).state === state);
const onNode = async (...words: string[]): Promise<void> => void (await shell.run(words));

describe("a node that is well", () => {
  test("passes every check, and each says what it has seen", async () => {
    const results = await look();
    assert.deepEqual([...results.keys()].sort(), ALL.toSorted());
    assert.deepEqual(inState(results, "passed"), ALL, JSON.stringify([...results.values()]));
    for (const name of ALL) assert.notEqual(evidenceOf(byName(results, name)), "", name);
    assert.match(
      evidenceOf(byName(results, "certificate")),
      /verified by PM_TLS_CA, valid until \d{4}-\d\d-\d\d/,
    );
    assert.match(evidenceOf(byName(results, "version")), /^Proxmox VE 9\.2\.11$/);
    assert.match(evidenceOf(byName(results, "upload")), /--via ssh .*works[\s\S]*--via api works/);
    assert.match(evidenceOf(byName(results, "template")), /There is no template alma9-k3-node-amd64-v/);
    assert.match(evidenceOf(byName(results, "addresses")), /the VMs' network is behind the node/);
  });

  test("is asked each thing once, over one connection, and nothing on it is changed", async () => {
    const always = { count: "always", effect: { delay: 0 } } as const;
    sandbox.faults.set([
      { where: "api", ...always },
      { where: "command", ...always },
      { where: "ssh", ...always },
    ]);
    await look();
    const struck = sandbox.faults.struck();
    const of = (where: string): string[] =>
      struck.filter((each) => each.where === where).map(({ what }) => what);
    const calls = of("api");
    assert.deepEqual(
      calls.filter((call) => !call.startsWith("GET ")),
      [],
    );
    // Each place is another question.
    const single = calls.filter((call) => call !== "GET /access/permissions");
    assert.deepEqual(single.toSorted(), [...new Set(single)].sort());
    assert.equal(of("ssh").length, 1);
    const commands = [
      "getent hosts repo.almalinux.org",
      "id -u",
      "lscpu",
      "pveum user token list homelab@pve --output-format json",
      "qm list",
    ];
    assert.deepEqual([...new Set(of("command"))].sort(), commands);
  });
});

describe("each check finds", () => {
  for (const { title, check, faults = [], changes, state = "failed", says, fix, unknown = [] } of nodeCases(
    base,
  )) {
    test(`${check}: ${title}`, async () => {
      sandbox.faults.set(faults);
      const results = await look(changes?.());
      const result = byName(results, check);
      assert.equal(result.state, state, JSON.stringify(result));
      assert.match(evidenceOf(result), says);
      assert.match(fixOf(result), fix);
      // What cannot be known says who tells why, and nothing else fails for it.
      assert.deepEqual(
        inState(results, "unavailable"),
        ALL.filter((name) => unknown.includes(name)),
      );
      for (const name of unknown) {
        assert.match(evidenceOf(byName(results, name)), /^Not known: .* \(see node\/[a-z-]+\)$/);
      }
    });
  }

  test("online: a node that is off, with the others", () => {
    const nodes = [
      { node: "pve", status: "offline" },
      { node: "pve2", status: "online" },
    ];
    const [finding] = onlineFindings(nodes, "pve");
    assert.deepEqual(
      [finding?.state, finding?.evidence],
      ["failed", "The node pve is offline; pve2 is online"],
    );
  });

  test("privileges: each that is missing, on which path, for which task", async () => {
    await onNode("pveum", "role", "modify", "HomelabStorage", "--privs", "Datastore.Audit");
    try {
      const result = byName(await look(), "privileges");
      assert.equal(result.state, "failed");
      assert.equal(
        evidenceOf(result),
        "Datastore.AllocateSpace on /storage/vmdata is missing: disks of VMs and templates (tf-apply, build-image, upload-image --via api)",
      );
      assert.match(fixOf(result), /^\$ npm run pve-init$/m);
    } finally {
      const all = "Datastore.AllocateSpace,Datastore.Audit";
      await onNode("pveum", "role", "modify", "HomelabStorage", "--privs", all);
    }
  });

  test("token: one that ends soon", async () => {
    const token = ["pveum", "user", "token", "modify", "homelab@pve", "tasks", "--expire"];
    const end = Math.floor(Date.now() / 1000) + 5 * 86_400 + 3600;
    await onNode(...token, String(end));
    try {
      const result = byName(await look(), "token");
      assert.equal(result.state, "warning");
      assert.match(evidenceOf(result), /is accepted until \d{4}-\d\d-\d\d, in 5 days$/);
      assert.match(fixOf(result), /^\$ npm run pve-init -- --rotate$/m);
      const without = byName(await look({ PM_SSH_PORT: "1" }), "token");
      assert.match(evidenceOf(without), /is accepted; when it ends the token itself may not see|in 5 days$/);
    } finally {
      await onNode(...token, "0");
    }
  });

  test("vms, addresses, template: what others have", async () => {
    const pve = new PveApi(sandbox.endpoints);
    const IMAGE_VERSION = "alma9-k3-node-amd64-v1.28.5-v1";
    await pve.createVm(105, "k3s-s1", { ipconfig0: "ip=10.23.45.31/24,gw=10.23.45.1" });
    await pve.createTemplate(106, IMAGE_VERSION);
    try {
      const results = await look({ IMAGE_VERSION });
      const vms = byName(results, "vms");
      assert.equal(vms.state, "failed");
      assert.match(evidenceOf(vms), /The name k3s-s1 is taken: VM 105 on pve/);
      assert.match(fixOf(vms), /terraform\/envs\/k3s-single\/terraform\.tfvars: name = /);
      const addresses = byName(results, "addresses");
      assert.match(evidenceOf(addresses), /10\.23\.45\.31 is taken: the cluster gives it to VM 105 \(k3s-s1/);
      assert.match(fixOf(addresses), /: ip = /);
      assert.match(evidenceOf(byName(results, "template")), /^alma9-\S+ is VM 106 on pve$/);
      const others = byName(await look(), "template");
      assert.match(
        evidenceOf(others),
        /There is no template .*; there are alma9-k3-node-amd64-v1\.28\.5-v1 \(106\)$/,
      );
      // Our own has both by right.
      await pve.call("PUT", "/nodes/pve/qemu/105/config", {
        description: "Made from the template x (106) by run 1",
      });
      const own = await look();
      assert.match(evidenceOf(byName(own, "vms")), /^k3s-s1 is VM 105 of these tasks/);
      assert.match(evidenceOf(byName(own, "addresses")), /^10\.23\.45\.31 is that of VM 105/);
    } finally {
      await pve.destroy(105);
      await pve.destroy(106);
    }
  });

  test("upload: a storage that takes no images, which one way can do without", async () => {
    const content = "backup,iso,vztmpl,snippets,images,rootdir";
    await onNode("pvesm", "set", "local", "--content", content);
    try {
      const one = byName(await look(), "upload");
      assert.equal(one.state, "passed");
      assert.match(evidenceOf(one), /--via api does not work: no storage .*content type import/);
      assert.match(fixOf(one), /^\$ pvesm set local --content \S+,import$/m);
      const none = byName(await look({ PM_SSH_PORT: "1" }), "upload");
      assert.equal(none.state, "failed");
      sandbox.faults.set([{ where: "node", effect: { version: "8.2.4" } }]);
      const old = await look();
      assert.match(evidenceOf(byName(old, "upload")), /Proxmox VE 8\.2\.4 knows none/);
      assert.equal(byName(old, "version").state, "passed");
    } finally {
      await onNode("pvesm", "set", "local", "--content", `${content},import`);
    }
  });
});

describe("what is wrong at the same time", () => {
  test("is all told", async () => {
    sandbox.faults.set([
      { where: "node", effect: { clock: 600_000 } },
      { where: "node", effect: { cpu: "vmx" } },
      { where: "storage", match: "vmdata", effect: { size: 1_000_000 } },
      { where: "command", match: "qm list", count: "always", effect: { exit: 1, stderr: "broken\n" } },
      { where: "command", match: "getent *", count: "always", effect: { exit: 2 } },
      { where: "api", match: "GET /cluster/nextid", effect: { status: 500, message: "no number" } },
    ]);
    const results = await look({ PM_BRIDGE: "vmbr9" });
    // The bridge's privilege is asked for at the bridge that is set.
    assert.deepEqual(inState(results, "failed"), [
      "privileges",
      "storages",
      "bridge",
      "vms",
      "qm",
      "clock",
      "cpu",
    ]);
    assert.deepEqual(inState(results, "warning"), ["resolver"]);
  });

  test("a call that never ends keeps no other check waiting", async () => {
    sandbox.faults.set([
      { where: "api", match: "GET /cluster/nextid", count: "always", effect: { delay: 600_000 } },
    ]);
    const results = await look({ PM_API_TIMEOUT: "3" });
    assert.deepEqual(inState(results, "failed"), ["vms"]);
    assert.match(evidenceOf(byName(results, "vms")), /does not answer/);
    const slow = byName(results, "vms").ms;
    assert.ok(slow < 6000, `asked once, it took ${slow} ms`);
    for (const [name, { ms }] of results) if (name !== "vms") assert.ok(ms < slow, `${name} took ${ms} ms`);
  });

  test("a machine that takes connections and says nothing is told within the time that is set", async () => {
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const address = silent.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    try {
      const results = await look({ PM_API_URL: `https://127.0.0.1:${port}/api2/json`, PM_API_TIMEOUT: "1" });
      assert.deepEqual(inState(results, "failed"), ["api"]);
      assert.match(evidenceOf(byName(results, "api")), /does not answer/);
    } finally {
      silent.close();
    }
  });
});

describe("without settings", () => {
  test("all are skipped, and name what they need", async () => {
    const nothing = Object.fromEntries(
      ["PM_API_URL", "PM_SSH_HOST", "PM_API_TOKEN_ID", "PM_API_TOKEN_SECRET"].map((name) => [
        name,
        undefined,
      ]),
    );
    const results = await look(nothing);
    assert.deepEqual(inState(results, "skipped"), ALL);
    assert.equal(byName(results, "token").reason, "needs PM_API_*");
    assert.equal(byName(results, "ssh").reason, "needs PM_SSH_HOST");
  });

  test("SSH is looked at where it is all that is set", async () => {
    const results = await look({ PM_API_URL: undefined, PM_API_TOKEN_ID: undefined });
    assert.deepEqual(inState(results, "passed"), OF_SSH);
  });
});
