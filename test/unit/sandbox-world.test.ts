import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { sandboxPlan } from "../../lib/sandbox/seed.ts";
import {
  cloneImage,
  createImage,
  createQcow2,
  growImage,
  inspectImage,
  openWorld,
  removeVolume,
  type World,
} from "../../lib/sandbox/world/index.ts";

const base = mkdtempSync(join(tmpdir(), "homelab-world-"));
after(() => rmSync(base, { recursive: true, force: true }));

let worlds = 0;

function newWorld(): World {
  worlds += 1;
  return openWorld(join(base, String(worlds)), sandboxPlan("secret"), { timeScale: 0 });
}

function reopened(world: World): World {
  return openWorld(world.dir, sandboxPlan("another"), { timeScale: 0 });
}

describe("VMs", () => {
  test("are the same after a restart, description and pending changes included", () => {
    const world = newWorld();
    world.vms.create(100, { name: "a", description: "50 %\n# of it", cores: "2" }, "template");
    world.vms.update(100, {
      pending: { cores: "4", cpu: null, description: "new" },
      running: { pid: 1, since: 2 },
    });
    assert.deepEqual(reopened(world).vms.get(100), world.vms.get(100));
  });

  test("have a digest that changes with their configuration alone", () => {
    const { vms } = newWorld();
    const before = vms.digest(vms.create(100, { name: "a" }));
    assert.equal(vms.digest(vms.update(100, { running: { pid: 1, since: 2 } })), before);
    assert.notEqual(vms.digest(vms.update(100, { config: { name: "b" } })), before);
  });

  test("are locked one operation at a time", async () => {
    const { vms } = newWorld();
    const seen: string[] = [];
    let release = (): void => {};
    const held = vms.exclusively(100, () => new Promise<void>((done) => (release = done)));
    await assert.rejects(
      vms.exclusively(100, () => {}, 10),
      { message: "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout" },
    );
    const next = vms.exclusively(100, () => void seen.push("next"));
    assert.deepEqual(seen, []);
    release();
    await Promise.all([held, next]);
    assert.deepEqual(seen, ["next"]);
  });
});

describe("tasks", () => {
  test("end with OK or with the reason, and keep their log over a restart", async () => {
    const world = newWorld();
    const request = { id: "100", user: "root@pam", token: undefined };
    const good = world.tasks.start({ ...request, type: "good", run: async ({ log }) => log("line") });
    const bad = world.tasks.start({
      ...request,
      type: "bad",
      run: async () => {
        throw new Error("no room");
      },
    });
    await Promise.all([world.tasks.finished(good.upid), world.tasks.finished(bad.upid)]);
    const { tasks } = reopened(world);
    assert.deepEqual(tasks.get(good.upid)?.log, ["line", "TASK OK"]);
    assert.equal(tasks.get(bad.upid)?.exitstatus, "no room");
  });

  test("that ran when the process was killed are lost, not running for ever", () => {
    const world = newWorld();
    const task = world.tasks.start({
      type: "slow",
      id: "",
      user: "root@pam",
      token: undefined,
      run: async () => await new Promise(() => {}),
    });
    assert.equal(world.tasks.get(task.upid)?.exitstatus, undefined);
    assert.equal(reopened(world).tasks.get(task.upid)?.exitstatus, "unexpected status");
  });
});

describe("a kill in the middle of everything", () => {
  test("leaves whole files and every VM that was there", () => {
    const dir = join(base, "killed");
    const lib = new URL("../../lib/sandbox/", import.meta.url).href;
    const program = `
      const { openWorld } = await import("${lib}world/index.ts");
      const { sandboxPlan } = await import("${lib}seed.ts");
      const world = openWorld(${JSON.stringify(dir)}, sandboxPlan("secret"));
      for (let vmid = 100; vmid < 120; vmid += 1) world.vms.create(vmid, { name: "vm" + vmid });
      setTimeout(() => process.kill(process.pid, "SIGKILL"), 60);
      for (let round = 0; ; round += 1) {
        for (let vmid = 100; vmid < 120; vmid += 1) {
          world.vms.update(vmid, { config: { name: "vm" + vmid, description: "x".repeat(5000), cores: String(round) } });
        }
        await new Promise((done) => setImmediate(done));
      }`;
    assert.throws(() =>
      execFileSync(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program], {
        stdio: "ignore",
      }),
    );
    const vms = openWorld(dir, sandboxPlan("secret")).vms.list();
    assert.equal(vms.length, 20);
    for (const { vmid, config } of vms) {
      assert.equal(config.name, `vm${vmid}`);
      assert.match(config.cores ?? "", /^\d+$/);
      assert.equal(config.description?.length, 5000);
    }
  });
});

describe("the node's files", () => {
  test("lie below its root, whatever the path", () => {
    const { files } = newWorld();
    assert.equal(files.toHost("/../../etc/passwd"), join(files.root, "etc/passwd"));
    assert.equal(files.toNode(files.toHost("/var/lib/vz")), "/var/lib/vz");
    assert.throws(() => files.toHost("etc/passwd"), /not an absolute path/);
  });

  test("a symbolic link does not lead out", () => {
    const { files } = newWorld();
    symlinkSync("/etc", files.toHost("/tmp/out"));
    assert.throws(() => files.toHost("/tmp/out/passwd"), /leads out of the node/);
  });
});

describe("images", () => {
  test("are created sparse, with their size in the header", async () => {
    const file = join(base, "empty.qcow2");
    await createQcow2(file, 32 * 1024 ** 3);
    assert.deepEqual(await inspectImage(file), {
      format: "qcow2",
      virtualSize: 32 * 1024 ** 3,
      backingFile: undefined,
    });
    assert.ok(statSync(file).size < 1024 ** 2);
  });

  test("a clone of a template's disk is quick, grows alone and outlives the template", async () => {
    const world = newWorld();
    const template = world.storages.locate("vmdata:9000/base-9000-disk-0.qcow2");
    await createImage(template, 1024 ** 3);
    const data = readFileSync(template.hostPath);
    const clone = world.storages.locate("vmdata:100/vm-100-disk-0.qcow2");
    await cloneImage(template, clone);
    await growImage(clone, 64 * 1024 ** 3);
    assert.equal((await world.storages.describe(clone.volid))?.size, 64 * 1024 ** 3);
    assert.equal((await world.storages.describe(clone.volid))?.parent, null);
    assert.ok(readFileSync(template.hostPath).equals(data), "the template changed");
    await removeVolume(template);
    const below = (await inspectImage(clone.hostPath))?.backingFile ?? "";
    assert.equal((await inspectImage(join(clone.hostPath, "..", below)))?.virtualSize, 1024 ** 3);
    await removeVolume(clone);
    assert.throws(() => statSync(join(clone.hostPath, "..")), /ENOENT/);
  });

  test("what is no image of ours is not listed", async () => {
    const world = newWorld();
    const directory = world.files.toHost("/var/lib/vz/template/iso");
    mkdirSync(directory, { recursive: true });
    for (const name of ["a.iso", "b.txt", ".hidden.iso"]) writeFileSync(join(directory, name), "x");
    const volumes = await world.storages.content(world.storages.get("local"));
    assert.deepEqual(
      volumes.map(({ volid }) => volid),
      ["local:iso/a.iso"],
    );
  });
});
