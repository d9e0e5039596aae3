import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { loadSettings } from "../../lib/config/index.ts";
import { TaskError, UsageError } from "../../lib/errors.ts";
import { apiFrom, type CatalogueEntry, namesakes, type ProxmoxApi } from "../../lib/proxmox/index.ts";
import { formatMark, type RunMark, runMark } from "../../lib/run-mark.ts";
import { type Sandbox, startSandbox } from "../../lib/sandbox/index.ts";
import type { Reporter, Step } from "../../lib/task/index.ts";
import { runSteps } from "../../lib/task/run.ts";
import { sandboxSettings } from "../../lib/task/sandbox-settings.ts";
import { proxmoxSteps } from "../../tasks/image-build/on-node.ts";
import { catalogueLines, imagesSteps } from "../../tasks/images.ts";
import { PveApi } from "../support/pve.ts";

/** Golden images on a node: what there is, what may go, and what stands in the way of a build. */

const OLD = "alma9-k3-node-amd64-v1.28.5-v1";
const NEW = "alma9-k3-node-amd64-v1.35.6-v1";

const dir = mkdtempSync(join(tmpdir(), "images-"));
let sandbox: Sandbox;
let pve: PveApi;
let api: ProxmoxApi;

before(async () => {
  sandbox = await startSandbox({ dir });
  pve = new PveApi(sandbox.endpoints);
  const settings = await loadSettings(
    ["PM_API_URL", "PM_API_TOKEN_ID", "PM_API_TOKEN_SECRET"],
    ["PM_TLS_CA", "PM_TLS_FINGERPRINT", "PM_TLS_INSECURE", "PM_API_TIMEOUT"],
    [{ name: "the sandbox", values: sandboxSettings(sandbox) }],
  );
  api = apiFrom(settings);
  await pve.createTemplate(9000, OLD);
  // Clones are told apart by the second in which their template was made.
  await new Promise((resolve) => setTimeout(resolve, 1100));
  await pve.createTemplate(9001, NEW);
});
after(async () => {
  await api?.close();
  await sandbox?.stop();
  rmSync(dir, { recursive: true, force: true });
});

async function steps(list: readonly Step[], yes: boolean): Promise<string[]> {
  const notes: string[] = [];
  const reporter: Reporter = {
    drawsList: false,
    step: () => {},
    output: () => {},
    note: (line) => notes.push(line),
  };
  await runSteps(list, { reporter, signal: new AbortController().signal, yes });
  return notes;
}

async function catalogue(
  prune: boolean,
  yes = true,
): Promise<{ images: string[]; removed: string[]; all: CatalogueEntry[] }> {
  let images: readonly CatalogueEntry[] = [];
  let removed: readonly CatalogueEntry[] = [];
  await steps(
    imagesSteps(api, prune, (left, gone) => {
      images = left;
      removed = gone;
    }),
    yes,
  );
  const names = (entries: readonly CatalogueEntry[]): string[] => entries.map(({ name }) => name);
  return { images: names(images), removed: names(removed), all: [...images] };
}

describe("images", () => {
  test("lists every golden image, the newest first, with the VMs that were cloned from it", async () => {
    await pve.task("POST", "/nodes/pve/qemu/9000/clone", { newid: 200, name: "by-hand", full: 1 });
    const { images, all } = await catalogue(false);
    assert.deepEqual(images, [NEW, OLD]);
    assert.deepEqual(all.find(({ name }) => name === OLD)?.usedBy, [{ vmid: 200, name: "by-hand" }]);
    const lines = catalogueLines(all).join("\n");
    assert.match(lines, new RegExp(`^${OLD} {2}\\(9000 on pve\\)\n.*\n {2}used by by-hand \\(200\\)$`, "m"));
    assert.match(lines, /no VM tells that it was made from it/);
  });

  test("never proposes one that is in use", async () => {
    assert.deepEqual(await catalogue(true).then(({ removed }) => removed), []);
  });

  test("removes nothing without an answer", async () => {
    await pve.destroy(200);
    await assert.rejects(catalogue(true, false), UsageError);
    assert.equal((await pve.vms()).length, 2);
  });

  test("removes superseded images that nobody uses, and no other", async () => {
    const { images, removed } = await catalogue(true);
    assert.deepEqual(removed, [OLD]);
    assert.deepEqual(images, [NEW]);
    assert.deepEqual(
      (await pve.vms()).map(({ name }) => name),
      [NEW],
    );
  });
});

describe("before an image is built on the node", () => {
  async function firstSteps(name: string, yes: boolean): Promise<string[]> {
    const sources = [
      { name: "the test", values: { BUILD_IP: "10.23.45.99/24", BUILD_GATEWAY: "10.23.45.1" } },
      { name: "the sandbox", values: sandboxSettings(sandbox) },
    ];
    const settings = await loadSettings(
      [],
      [
        ...([
          "ALMA_VERSION",
          "ARCH",
          "K3S_VERSION",
          "IMAGE_RELEASE",
          "IMAGE_VERSION",
          "ALMA_ISO_URL",
        ] as const),
        ...(["ALMA_ISO_CHECKSUM", "FIRMWARE", "KICKSTART_DELIVERY", "BUILD_HTTP_ADDRESS"] as const),
        ...([
          "BUILD_IP",
          "BUILD_GATEWAY",
          "BUILD_NAMESERVER",
          "IMAGE_AUTOMATIC_UPDATES",
          "IMAGE_OSCAP",
        ] as const),
      ],
      sources,
    );
    const node = await loadSettings(
      ["PM_API_URL", "PM_API_TOKEN_ID", "PM_API_TOKEN_SECRET"],
      [
        ...(["PM_TLS_CA", "PM_TLS_FINGERPRINT", "PM_TLS_INSECURE", "PM_API_TIMEOUT", "PM_NODE"] as const),
        ...(["PM_STORAGE", "PM_ISO_STORAGE", "PM_BRIDGE"] as const),
      ],
      sources,
    );
    const all = proxmoxSteps({ root: dir, name, settings, keepOnError: false }, node, () => {});
    // test/integration/build-image.test.ts has the whole way.
    const wanted = /^(Check that the (name|installer)|Make sure that the name)/;
    return await steps(
      all.filter(({ title }) => wanted.test(title)),
      yes,
    );
  }

  test("a name that a template has is refused, with the next free release", async () => {
    await assert.rejects(firstSteps(NEW, true), (error: unknown) => {
      assert.ok(error instanceof TaskError);
      assert.equal(error.what, `The name ${NEW} is taken on the node`);
      assert.deepEqual(error.todo, ["Build the next free release: IMAGE_RELEASE=v2"]);
      return true;
    });
  });

  const LEFT = "alma9-k3-node-amd64-v1.36.1-v1";

  /** What a run has written down before it was killed, whose Packer has ended. */
  function begun(name: string, run: Partial<RunMark>): void {
    const folder = join(dir, ".homelab", "builds", name);
    mkdirSync(folder, { recursive: true });
    const record = { run: { ...runMark(), ...run }, inputs: "", packer: { pid: 1, identity: "start 0" } };
    writeFileSync(join(folder, "run.json"), JSON.stringify(record));
  }

  test("a VM that an interrupted build has left is not removed without an answer", async () => {
    await pve.createVm(300, LEFT, { tags: "alma9;amd64;homelab;k3s;run-1f2e3d4c" });
    begun(LEFT, { id: "1f2e3d4c", identity: "start-0" });
    await assert.rejects(firstSteps(LEFT, false), /was left by a build \(run 1f2e3d4c\) that did not end/);
    assert.ok((await pve.vms()).some(({ vmid }) => vmid === 300));
  });

  test("it is removed when the person agrees, and the way back is looked at", async () => {
    await pve.task("POST", "/nodes/pve/qemu/300/status/start");
    const notes = await firstSteps(LEFT, true);
    assert.ok((await pve.vms()).every(({ vmid }) => vmid !== 300));
    assert.match(
      notes.join("\n"),
      new RegExp(`Removed VM 300 \\(${LEFT}, running\\) of .* \\(run 1f2e3d4c\\)`),
    );
    // The sandbox is on loopback, which no VM could call back to.
    assert.match(notes.join("\n"), /127\.0\.0\.1 is this machine's own loopback\. Set BUILD_HTTP_ADDRESS/);
  });

  const maybeBuilt = (error: unknown, why: RegExp): true => {
    assert.ok(error instanceof TaskError);
    assert.equal(error.what, `VM 300 (${LEFT}) on pve may be a build that goes on`);
    assert.match(error.why ?? "", why);
    assert.match(error.todo.join("\n"), /wait until it has ended[\s\S]*\$ npm run leftovers/);
    assert.deepEqual(error.left, ["Nothing was changed"]);
    return true;
  };

  test("one that runs is left alone when its run is not known to be dead, whatever is agreed to", async () => {
    await pve.createVm(300, LEFT, { tags: "homelab;k3s;run-0badc0de" });
    await pve.task("POST", "/nodes/pve/qemu/300/status/start");
    await assert.rejects(firstSteps(LEFT, true), (error) =>
      maybeBuilt(error, /^It runs, and is of run 0badc0de, .*; it was made at \d{4}-\d\d-\d\dT/),
    );
    begun(LEFT, { id: "0badc0de", identity: "start-0", by: "ann@elsewhere" });
    await assert.rejects(firstSteps(LEFT, true), (error) => maybeBuilt(error, /^It runs, /));
    begun(LEFT, { id: "0badc0de" });
    await assert.rejects(firstSteps(LEFT, true), (error) =>
      maybeBuilt(error, new RegExp(`^The build goes on: .*\\(process ${process.pid}\\) since `)),
    );
    assert.equal((await pve.vms()).find(({ vmid }) => vmid === 300)?.status, "running");
  });

  test("one that is off is left alone as long as it may be between two of Packer's calls", async () => {
    begun(LEFT, { id: "11111111", identity: "start-0" });
    await pve.task("POST", "/nodes/pve/qemu/300/status/stop");
    await assert.rejects(firstSteps(LEFT, true), (error) => maybeBuilt(error, /^The node was at work on it/));
    const [found] = await namesakes(api, LEFT, new AbortController().signal, Date.now() + 120_000);
    assert.ok(found?.kind === "unfinished");
    assert.equal(found.busy, undefined);
    assert.equal(found.run, "0badc0de");
    await pve.destroy(300);
  });

  test("a VM of an upload that goes on stays", async () => {
    const description = `Being uploaded: ${formatMark(runMark())}`;
    await pve.createVm(300, LEFT, { tags: "homelab;k3s;template", description });
    await assert.rejects(firstSteps(LEFT, true), /is taken on the node/);
    await pve.destroy(300);
  });

  test("a VM of somebody else with that name stays", async () => {
    await pve.createVm(301, LEFT, { tags: "theirs" });
    await assert.rejects(firstSteps(LEFT, true), (error: unknown) => {
      assert.ok(error instanceof TaskError);
      assert.match(error.why ?? "", /VM 301 has it/);
      return true;
    });
    assert.ok((await pve.vms()).some(({ vmid }) => vmid === 301));
  });
});
