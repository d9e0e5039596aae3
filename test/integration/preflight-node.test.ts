import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import type { CheckResult } from "../../lib/check/index.ts";
import { NodeShell } from "../../lib/proxmox/index.ts";
import { type FaultRule, type Sandbox, startSandbox } from "../../lib/sandbox/index.ts";
import { onlineFindings } from "../../tasks/preflight/node/places.ts";
import { type Changes, lookAtNode } from "../support/preflight.ts";
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
const OF_SSH = ["host-key", "ssh", "qm", "resolver", "cpu"];
/** What needs an API that can be asked. */
const ASKING = [
  ...[
    "privileges",
    "version",
    "online",
    "storages",
    "bridge",
    "iso",
    "template",
    "vms",
    "addresses",
    "clock",
  ],
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
      "true",
    ];
    assert.deepEqual([...new Set(of("command"))].sort(), commands);
  });
});

interface Case {
  readonly title: string;
  readonly check: string;
  readonly faults?: readonly FaultRule[];
  readonly changes?: () => Changes;
  readonly state?: CheckResult["state"];
  readonly says: RegExp;
  readonly fix: RegExp;
  /** What cannot be known then. */
  readonly unknown?: readonly string[];
}

const node = (effect: Extract<FaultRule, { where: "node" }>["effect"]): readonly FaultRule[] => [
  { where: "node", effect },
];

const CASES: readonly Case[] = [
  {
    title: "a name that leads nowhere",
    check: "name",
    changes: () => ({ PM_API_URL: "https://nowhere.invalid:8006/api2/json" }),
    says: /The name nowhere\.invalid is not known/,
    fix: /^\$ getent hosts nowhere\.invalid$/m,
    unknown: ["api", "certificate", "token", ...ASKING],
  },
  {
    title: "a port on which nothing listens",
    check: "api",
    changes: () => ({ PM_API_URL: "https://127.0.0.1:1/api2/json" }),
    says: /Nothing listens there \(connection refused\)/,
    fix: /^\$ curl -k https:\/\/127\.0\.0\.1:1$/m,
    unknown: ["certificate", "token", ...ASKING],
  },
  {
    title: "a proxy that answers in its place",
    check: "api",
    faults: [{ where: "api", count: "always", effect: { page: 502 } }],
    says: /what answered is not the Proxmox API/,
    fix: /use the node's own address as PM_API_URL/,
    unknown: ["token", ...ASKING],
  },
  {
    title: "a certificate that has expired",
    check: "certificate",
    faults: [{ where: "tls", count: "always", effect: { certificate: "expired" } }],
    says: /The certificate has expired on \d{4}-\d\d-\d\d/,
    fix: /^\$ pvecm updatecerts --force/m,
    unknown: ["api", "token", ...ASKING],
  },
  {
    title: "a certificate of another authority than PM_TLS_CA",
    check: "certificate",
    faults: [{ where: "tls", count: "always", effect: { certificate: "foreign" } }],
    says: /The CA in PM_TLS_CA \(.*\) has not signed the certificate[\s\S]*SHA-256 ([0-9A-F]{2}:){31}/,
    fix: /^\$ ssh .* > ~\/pve-root-ca\.pem$/m,
    unknown: ["api", "token", ...ASKING],
  },
  {
    title: "a certificate that nothing vouches for",
    check: "certificate",
    changes: () => ({ PM_TLS_CA: undefined }),
    says: /signed by an authority that this machine does not know[\s\S]*SHA-256 ([0-9A-F]{2}:){31}/,
    fix: /^\$ pvenode cert info\nThen, in \.env: PM_TLS_FINGERPRINT=([0-9A-F]{2}:){31}/m,
    unknown: ["api", "token", ...ASKING],
  },
  {
    title: "a certificate other than the pinned one",
    check: "certificate",
    changes: () => ({ PM_TLS_CA: undefined, PM_TLS_FINGERPRINT: Array(32).fill("AB").join(":") }),
    says: /not the pinned one: PM_TLS_FINGERPRINT is AB:AB/,
    fix: /somebody may be answering in the node's place: do not go on/,
    unknown: ["api", "token", ...ASKING],
  },
  {
    title: "a certificate that is not verified at all",
    check: "certificate",
    state: "warning",
    changes: () => ({ PM_TLS_CA: undefined, PM_TLS_INSECURE: "true" }),
    says: /the token goes to whoever answers in the node's place/,
    fix: /instead of PM_TLS_INSECURE: PM_TLS_FINGERPRINT=/,
  },
  {
    title: "a secret that is not the token's",
    check: "token",
    changes: () => ({ PM_API_TOKEN_SECRET: "00000000-0000-4000-8000-000000000000" }),
    says: /The token homelab@pve!tasks is not accepted/,
    fix: /^\$ npm run pve-init$/m,
    unknown: ASKING,
  },
  {
    title: "Proxmox VE 7",
    check: "version",
    faults: node({ version: "7.4-3" }),
    says: /Proxmox VE 7\.4-3 is not supported/,
    fix: /Upgrade the node to Proxmox VE 9/,
    unknown: ["privileges"],
  },
  {
    title: "a node that the cluster does not have",
    check: "online",
    changes: () => ({ PM_NODE: "elsewhere" }),
    says: /The cluster has no node elsewhere: pve is online/,
    fix: /Set PM_NODE/,
  },
  {
    title: "a storage that there is not",
    check: "storages",
    changes: () => ({ PM_STORAGE: "local-lvm" }),
    says: /There is no storage local-lvm for disks of VMs[\s\S]*there are local, vmdata|vmdata, local/,
    fix: /Set PM_STORAGE to one of them/,
  },
  {
    title: "a storage that is full",
    check: "storages",
    faults: [{ where: "storage", match: "vmdata", effect: { size: 1_000_000_000 } }],
    says: /The storage vmdata \(PM_STORAGE\) is nearly full: .* 32\.0 GiB are wanted for disks of VMs/,
    fix: /^\$ npm run leftovers$/m,
  },
  {
    title: "a storage that is not reached",
    check: "storages",
    faults: [{ where: "storage", match: "vmdata", effect: { offline: true } }],
    says: /The storage vmdata \(PM_STORAGE\) is not active/,
    fix: /^\$ pvesm status$/m,
  },
  {
    title: "a storage that takes no ISOs",
    check: "storages",
    changes: () => ({ PM_ISO_STORAGE: "vmdata" }),
    says: /The storage vmdata \(PM_ISO_STORAGE\) does not take ISO images: it takes images, rootdir/,
    fix: /^\$ pvesm set vmdata --content images,rootdir,iso$/m,
  },
  {
    title: "a bridge that there is not",
    check: "bridge",
    changes: () => ({ PM_BRIDGE: "vmbr7" }),
    says: /no bridge vmbr7, .*there are vmbr0/,
    fix: /Set PM_BRIDGE to one of them/,
  },
  {
    title: "a list of ISOs that is refused",
    check: "iso",
    faults: [
      { where: "api", match: "GET /nodes/pve/storage/local/content", effect: { status: 500, message: "no" } },
    ],
    says: /Proxmox refused GET \/nodes\/pve\/storage\/local\/content/,
    fix: /^\$ journalctl /m,
  },
  {
    title: "a host key that is not known",
    check: "host-key",
    changes: () => ({ PM_SSH_CONFIG: strangersConfig() }),
    says: /Its host key is not known here/,
    fix: /compare the fingerprint[\s\S]*^\$ ssh -F /m,
    unknown: OF_SSH.filter((name) => name !== "host-key"),
  },
  {
    title: "another host key than before",
    check: "host-key",
    faults: [{ where: "ssh", count: "always", effect: { hostKey: "foreign" } }],
    says: /Its host key is another one than before/,
    fix: /do not go on/,
    unknown: OF_SSH.filter((name) => name !== "host-key"),
  },
  {
    title: "a node that lets nobody in",
    check: "ssh",
    faults: [{ where: "ssh", count: "always", effect: { auth: "refused" } }],
    says: /It lets none of your keys in/,
    fix: /^\$ ssh-copy-id /m,
    unknown: ["qm", "resolver", "cpu"],
  },
  {
    title: "a port without sshd",
    check: "ssh",
    changes: () => ({ PM_SSH_PORT: "1" }),
    says: /Nothing listens there \(connection refused\)/,
    fix: /Check PM_SSH_HOST and PM_SSH_PORT/,
    unknown: OF_SSH.filter((name) => name !== "ssh"),
  },
  {
    title: "somebody who is not root",
    check: "qm",
    faults: [{ where: "command", match: "id -u", count: "always", effect: { exit: 0, stdout: "1000\n" } }],
    says: /root is not root on 127\.0\.0\.1: qm takes a file of the node from nobody else/,
    fix: /Set PM_SSH_USER=root/,
  },
  {
    title: "a node without qm",
    check: "qm",
    faults: [
      {
        where: "command",
        match: "qm list",
        count: "always",
        effect: { exit: 127, stderr: "bash: line 1: qm: command not found\n" },
      },
    ],
    says: /qm cannot be used on 127\.0\.0\.1: .*command not found/,
    fix: /PM_SSH_HOST to the node itself/,
  },
  {
    title: "a clock that is half a minute ahead",
    check: "clock",
    state: "warning",
    faults: node({ clock: 30_000 }),
    says: /The node's clock is (2\d\.\d|30\.\d) s ahead of ours \(by the date of its API's answers\)/,
    fix: /^\$ timedatectl$/m,
  },
  {
    title: "a clock that is an hour behind",
    check: "clock",
    faults: node({ clock: -3_600_000 }),
    says: /The node's clock is (59|60) min \d+ s behind ours/,
    fix: /^\$ systemctl restart chrony/m,
  },
  {
    title: "a node that finds no names",
    check: "resolver",
    state: "warning",
    faults: [{ where: "command", match: "getent *", count: "always", effect: { exit: 2 } }],
    says: /The node does not find repo\.almalinux\.org/,
    fix: /^\$ cat \/etc\/resolv\.conf$/m,
  },
  {
    title: "an old processor",
    check: "cpu",
    faults: node({ cpu: "fpu sse sse2 vmx cx16 lahf_lm" }),
    says: /lacks popcnt, sse4_1, sse4_2, ssse3, aes, which x86-64-v2-AES needs/,
    fix: /AlmaLinux 9 needs a processor of 2009 or later/,
  },
  {
    title: "a processor that does not virtualise",
    check: "cpu",
    faults: node({ cpu: "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3 aes" }),
    says: /does not virtualise \(neither vmx nor svm\)/,
    fix: /Switch it on in the firmware/,
  },
];

/** A configuration of ssh that knows no host. */
function strangersConfig(): string {
  const file = join(base, "strangers");
  const lines = ["UserKnownHostsFile /dev/null", "GlobalKnownHostsFile /dev/null"];
  writeFileSync(file, `Host *\n  ${lines.join("\n  ")}\n`);
  return file;
}

describe("each check finds", () => {
  for (const { title, check, faults = [], changes, state = "failed", says, fix, unknown = [] } of CASES) {
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
      sandbox.faults.set(node({ version: "8.2.4" }));
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
    assert.equal(byName(results, "token").reason, "needs PM_API_URL, PM_API_TOKEN_ID, PM_API_TOKEN_SECRET");
    assert.equal(byName(results, "ssh").reason, "needs PM_API_URL or PM_SSH_HOST");
  });

  test("SSH is looked at where it is all that is set", async () => {
    const results = await look({ PM_API_URL: undefined, PM_API_TOKEN_ID: undefined });
    assert.deepEqual(inState(results, "passed"), OF_SSH);
  });
});
