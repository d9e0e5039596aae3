import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { setMaxListeners } from "node:events";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { messageOf, TaskError } from "../../lib/errors.ts";
import {
  ApiWay,
  createSparseQcow2,
  NodeShell,
  ProxmoxApi,
  parseNotes,
  SshWay,
} from "../../lib/proxmox/index.ts";
import { formatMark, runMark } from "../../lib/run-mark.ts";
import { type Sandbox, startSandbox } from "../../lib/sandbox/index.ts";
import { runSteps } from "../../lib/task/run.ts";
import { uploadSteps } from "../../tasks/upload-image.ts";
import { PveApi } from "../support/pve.ts";
import { refused } from "../support/refused.ts";

/** Uploads over SSH and by the API on one node: the lock of the one does not keep the other out. */

const dir = mkdtempSync(join(tmpdir(), "homelab-upload-ways-"));
let sandbox: Sandbox;
let pve: PveApi;
const closing: (() => Promise<void>)[] = [];

before(async () => {
  sandbox = await startSandbox({ dir: join(dir, "sandbox") });
  pve = new PveApi(sandbox.endpoints);
});

after(async () => {
  for (const close of closing) await close();
  await sandbox?.stop();
  rmSync(dir, { recursive: true, force: true });
});

type Way = SshWay | ApiWay;
const WAYS = {
  ssh(): SshWay {
    const { sshHost: host, sshUser: user, sshPort: port, sshConfigFile: configFile } = sandbox.endpoints;
    const shell = new NodeShell({ host, user, port, configFile });
    closing.push(async () => await shell.close());
    return new SshWay(shell);
  },
  api(): ApiWay {
    const { apiUrl, tokenId, tokenSecret, caFile, node } = sandbox.endpoints;
    const api = new ProxmoxApi({ url: new URL(apiUrl), tokenId, tokenSecret, tls: { caFile } });
    closing.push(async () => await api.close());
    return new ApiWay(api, node);
  },
} satisfies Record<string, () => Way>;

let releases = 0;
async function image(): Promise<{ file: string; name: string }> {
  releases += 10;
  const file = join(dir, `image-${releases}.qcow2`);
  await createSparseQcow2(file, 1024 ** 3);
  appendFileSync(file, randomBytes(100_000));
  return { file, name: `alma9-k3-node-amd64-v1.35.6-v${releases}` };
}

/** Titles of steps before which something else happens. */
const IMPORT = "Import the disk";
const CONFIGURE = "Add the cloud-init drive and the notes";
const TEMPLATE = "Turn it into a template";
const LAST = "Remove the transferred file and write the metadata";

interface Meanwhile {
  readonly before: string;
  action(): Promise<void>;
}

/** With --yes: whatever may be removed, is. */
async function upload(
  way: Way,
  request: { readonly file: string; readonly name: string },
  meanwhile?: Meanwhile,
): Promise<readonly string[]> {
  const { storage, bridge } = sandbox.endpoints;
  const { signal } = new AbortController();
  setMaxListeners(0, signal);
  const notes: string[] = [];
  const steps = uploadSteps({ storage, bridge, ...request }, { way });
  if (meanwhile !== undefined) {
    const at = steps.findIndex(({ title }) => title === meanwhile.before);
    assert.ok(at > 0, meanwhile.before);
    steps.splice(at, 0, { title: "Meanwhile", run: meanwhile.action });
  }
  await runSteps(steps, {
    signal,
    yes: true,
    reporter: { drawsList: false, step: () => {}, output: () => {}, note: (line) => void notes.push(line) },
  });
  return notes;
}

async function called(name: string): Promise<{ vmid: number; template?: number }[]> {
  return (await pve.vms()).filter((vm) => vm.name === name);
}

async function numberOf(name: string): Promise<number> {
  const [vm, ...others] = await called(name);
  assert.ok(vm !== undefined && others.length === 0, `${others.length + 1} VMs are called ${name}`);
  return vm.vmid;
}

/** One template of a name, and nothing else; its notes are for people, without the mark of a run. */
async function demandTemplate(name: string, vmid: number): Promise<void> {
  assert.deepEqual(
    (await called(name)).map((vm) => [vm.vmid, vm.template]),
    [[vmid, 1]],
  );
  const { description } = await pve.config(vmid);
  assert.match(String(description), /^Golden image .*, made by homelab\.\n\n```json\n/);
  assert.equal(parseNotes(String(description))?.template_id, vmid);
}

/** A run that is gone. */
const run = (by: string): string =>
  `homelab run 0badc0de by ${by} (process 4194303, start-1) since 2026-11-26T14:57:55Z`;
const here = `${userInfo().username}@${hostname()}`;

const PAIRS = [
  ["api", "ssh"],
  ["ssh", "api"],
] as const;

describe("an upload that is under way is left alone by one the other way", () => {
  for (const [first, second] of PAIRS) {
    for (const before of [IMPORT, CONFIGURE, TEMPLATE]) {
      test(`by ${second}, while one by ${first} is about to: ${before}`, async () => {
        const request = await image();
        let vmid = 0;
        let loser: TaskError | undefined;
        await upload(WAYS[first](), request, {
          before,
          async action() {
            vmid = await numberOf(request.name);
            loser = await refused(upload(WAYS[second](), request));
          },
        });
        assert.equal(loser?.what, `The name ${request.name} is taken on the node`);
        assert.match(
          loser.why ?? "",
          new RegExp(`^VM ${vmid} has it, which is being uploaded.* homelab run [0-9a-f]{8} by \\S+@`),
        );
        await demandTemplate(request.name, vmid);
      });
    }

    test(`by ${second}, once the template by ${first} is there: it is the template`, async () => {
      const request = await image();
      let vmid = 0;
      await upload(WAYS[first](), request, {
        before: LAST,
        async action() {
          vmid = await numberOf(request.name);
          assert.match((await upload(WAYS[second](), request)).join("\n"), /Template \S+ has number/);
        },
      });
      await demandTemplate(request.name, vmid);
    });

    test(`of two that make their VMs at the same moment, one wins: ${first}, ${second}`, async () => {
      const request = await image();
      const ways = [WAYS[first](), WAYS[second]()];
      meet(ways);
      const results = await Promise.allSettled(ways.map(async (way) => await upload(way, request)));
      const lost = results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
      assert.equal(lost.length, 1, lost.map(messageOf).join("\n"));
      assert.ok(lost[0] instanceof TaskError);
      assert.equal(lost[0].what, `The name ${request.name} is taken on the node`);
      await demandTemplate(request.name, await numberOf(request.name));
    });

    test(`of two whose first got the higher number, one wins: ${first}, ${second}`, async () => {
      const request = await image();
      const below = Number(await pve.call("GET", "/cluster/nextid"));
      await pve.createVm(below, "somebody-elses");
      const way = WAYS[second]();
      const { nextId } = way.vms;
      let late = Promise.resolve<unknown>(undefined);
      let finish = (): void => {};
      way.vms.nextId = async (options) => {
        // The name is free so far: now the other one makes its VM, and a lower number becomes free.
        await new Promise<void>((reached) => {
          const held = new Promise<void>((resolve) => {
            finish = resolve;
          });
          const action = async (): Promise<void> => {
            reached();
            await held;
          };
          late = upload(WAYS[first](), request, { before: IMPORT, action }).catch((error: unknown) => error);
        });
        await pve.destroy(below);
        return await nextId.call(way.vms, options);
      };
      await upload(way, request);
      finish();
      const loser = await late;
      assert.ok(loser instanceof TaskError, "both became the template");
      assert.equal(loser.what, `The name ${request.name} is taken on the node`);
      await demandTemplate(request.name, below);
    });
  }

  for (const [title, description] of [
    ["of a run on another machine, by the API", `Being uploaded by the API (0123): ${run("ann@elsewhere")}`],
    ["of a run that goes on here, over SSH", `Being uploaded (0123): ${formatMark(runMark())}`],
    ["of a run that goes on here, by the API", `Being uploaded by the API (0123): ${formatMark(runMark())}`],
  ] as const) {
    test(`the VM ${title} stays though the lock is free, and what to do is said`, async () => {
      const request = await image();
      await pve.createVm(900, request.name, { tags: "homelab;k3s;template", description });
      const was = await pve.config(900);
      const { what, todo } = await refused(upload(WAYS.ssh(), request));
      assert.equal(what, `The name ${request.name} is taken on the node`);
      assert.match(todo.join("\n"), /Wait [\s\S]*\$ npm run leftovers/);
      assert.deepEqual(await pve.config(900), was);
      await pve.destroy(900);
    });
  }

  test("the VM of an upload by the API that was killed here is removed by one over SSH", async () => {
    const request = await image();
    const description = `Being uploaded by the API (0123): ${run(here)}`;
    await pve.createVm(900, request.name, { tags: "homelab;k3s;template", description });
    assert.match((await upload(WAYS.ssh(), request)).join("\n"), /Removed VM 900 \(/);
    assert.notEqual(await numberOf(request.name), 900);
  });
});

describe("a number that another VM has by now is left to it", () => {
  for (const way of ["ssh", "api"] as const) {
    for (const before of [IMPORT, CONFIGURE, TEMPLATE, LAST]) {
      test(`by ${way}, before: ${before}`, async () => {
        const request = await image();
        let vmid = 0;
        let was: unknown;
        const error = await refused(
          upload(WAYS[way](), request, {
            before,
            async action() {
              vmid = await numberOf(request.name);
              await pve.destroy(vmid);
              // Of the same name even: what another run makes in its stead.
              await pve.createVm(vmid, request.name, {
                tags: "homelab;k3s;template",
                description: "another",
              });
              was = await pve.config(vmid);
            },
          }),
        );
        assert.equal(error.what, `VM ${vmid} is not this run's any more`);
        assert.match(error.left.join("\n"), /Left behind \(not "VM \d+ removed"\): .*it is left as it is/);
        assert.deepEqual(await pve.config(vmid), was);
        await pve.destroy(vmid);
      });
    }

    test(`by ${way}, when ours is gone there is nothing to remove`, async () => {
      const request = await image();
      const error = await refused(
        upload(WAYS[way](), request, {
          before: IMPORT,
          action: async () => await pve.destroy(await numberOf(request.name)),
        }),
      );
      assert.match(error.what, /^VM \d+ is not this run's any more$/);
      assert.match(error.left.join("\n"), /Rolled back: VM \d+ removed/);
      assert.deepEqual(await called(request.name), []);
    });
  }
});

describe("disks of a VM's number that others have left stay", () => {
  const disks = (vmid: number): string =>
    join(dir, "sandbox", "rootfs", "var/lib/vmdata/images", String(vmid));
  const disksOf = (vmid: number): string[] =>
    existsSync(disks(vmid)) ? readdirSync(disks(vmid)).sort() : [];
  function makeDisk(vmid: number, disk: number): void {
    mkdirSync(disks(vmid), { recursive: true });
    writeFileSync(join(disks(vmid), `vm-${vmid}-disk-${disk}.raw`), "data, kept though the VM is gone");
  }
  const nextId = async (): Promise<number> => Number(await pve.call("GET", "/cluster/nextid"));
  const cut = new TaskError({ what: "The node went away" });

  for (const way of ["ssh", "api"] as const) {
    test(`by ${way}: a rollback removes our disks alone`, async () => {
      const vmid = await nextId();
      makeDisk(vmid, 7);
      const failing = upload(WAYS[way](), await image(), {
        before: TEMPLATE,
        async action() {
          assert.ok(disksOf(vmid).length > 3, "ours are there too");
          throw cut;
        },
      });
      const { left } = await refused(failing);
      assert.match(left.join("\n"), new RegExp(`Rolled back: VM ${vmid} removed`));
      assert.deepEqual(disksOf(vmid), [`vm-${vmid}-disk-7.raw`]);
      rmSync(disks(vmid), { recursive: true });
    });

    test(`by ${way}: an import that left a disk which the VM does not name`, async () => {
      const vmid = await nextId();
      makeDisk(vmid, 7);
      const failing = upload(WAYS[way](), await image(), {
        before: IMPORT,
        async action() {
          makeDisk(vmid, 8);
          throw cut;
        },
      });
      const left = (await refused(failing)).left.join("\n");
      assert.ok((await pve.vms()).every((vm) => vm.vmid !== vmid));
      const [others, ours] = [`vm-${vmid}-disk-7.raw`, `vm-${vmid}-disk-8.raw`];
      if (way === "ssh") {
        assert.match(left, new RegExp(`Rolled back: VM ${vmid} removed`));
        assert.deepEqual(disksOf(vmid), [others]);
      } else {
        // The token may make disks and remove VMs with theirs, but remove no disk by itself: it is named.
        assert.match(
          left,
          new RegExp(`VM ${vmid} is gone, but not its disk vmdata:${vmid}/${ours}: .*Allocate`),
        );
        assert.match(left, new RegExp(`^\\$ pvesm free vmdata:${vmid}/${ours}$`, "m"));
        assert.deepEqual(disksOf(vmid), [others, ours]);
      }
      rmSync(disks(vmid), { recursive: true });
    });

    test(`by ${way}: what an interrupted upload has left goes, and a disk that nobody names is told of`, async () => {
      const request = await image();
      const description = `Being uploaded (0123): ${run(here)}`;
      await pve.createVm(900, request.name, { tags: "homelab;k3s;template", description });
      makeDisk(900, 7);
      const notes = (await upload(WAYS[way](), request)).join("\n");
      assert.match(notes, /Removed VM 900 /);
      assert.match(notes, /vmdata:900\/vm-900-disk-7\.raw stays.*pvesm free vmdata:900\/vm-900-disk-7\.raw/);
      assert.deepEqual(disksOf(900), ["vm-900-disk-7.raw"]);
      rmSync(disks(900), { recursive: true });
    });
  }
});

/** Let uploads ask for a free number at the same moment. */
function meet(ways: readonly Way[]): void {
  let asked = 0;
  let everybody = (): void => {};
  const all = new Promise<void>((resolve) => {
    everybody = resolve;
  });
  for (const { vms } of ways) {
    const { nextId } = vms;
    let first = true;
    vms.nextId = async (options) => {
      const id = await nextId.call(vms, options);
      if (!first) return id;
      first = false;
      asked += 1;
      if (asked === ways.length) everybody();
      await all;
      return id;
    };
  }
}
