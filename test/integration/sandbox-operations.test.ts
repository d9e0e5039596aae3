import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { createDispatch } from "../../lib/sandbox/api/index.ts";
import { type Method, ROOT } from "../../lib/sandbox/calls.ts";
import { emptyGuests, type GuestRuntime } from "../../lib/sandbox/hooks.ts";
import { importDisk } from "../../lib/sandbox/operations/index.ts";
import { sandboxPlan } from "../../lib/sandbox/seed.ts";
import { createQcow2, openWorld } from "../../lib/sandbox/world/index.ts";

const base = mkdtempSync(join(tmpdir(), "homelab-operations-"));
after(() => rmSync(base, { recursive: true, force: true }));

const QEMU = "/nodes/pve/qemu";
const IMAGE = "alma9-k3-node-amd64-v1.28.5-v1";
let nodes = 0;

/** A fresh node with what `qm` on it would see. */
function newNode(guests: GuestRuntime = emptyGuests) {
  nodes += 1;
  const world = openWorld(join(base, String(nodes)), sandboxPlan("secret"), { timeScale: 0 });
  const dispatch = createDispatch(world, guests);
  const log: string[] = [];
  /** A call as root; the result of the task that it started, if any, is its own. */
  const call = async (method: Method, path: string, params: Record<string, string | number> = {}) => {
    const answer = await dispatch({ method, path, params, caller: ROOT, onLog: (line) => log.push(line) });
    if (answer.task === undefined) return answer.data;
    const { exitstatus } = await world.tasks.finished(answer.task.upid);
    if (exitstatus !== "OK") throw new Error(exitstatus);
    return undefined;
  };
  const config = async (vmid: number, current = 0) =>
    (await call("GET", `${QEMU}/${vmid}/config`, { current })) as Record<string, string | number>;
  /** The lines logged since the last time. */
  const logged = () => log.splice(0);
  return { world, call, config, logged };
}

type Node = ReturnType<typeof newNode>;

/** A template as upload-image makes it. */
async function makeTemplate({ world, call }: Node, vmid = 9000): Promise<void> {
  await createQcow2(world.files.toHost("/tmp/image.qcow2"), 1024 ** 3);
  await call("POST", QEMU, {
    vmid,
    name: IMAGE,
    bios: "ovmf",
    machine: "q35",
    efidisk0: "vmdata:0,efitype=4m,pre-enrolled-keys=0,format=qcow2",
    scsihw: "virtio-scsi-single",
    net0: "virtio,bridge=vmbr0",
    agent: "enabled=1",
    serial0: "socket",
    tags: "k3s;alma9",
  });
  await call("PUT", `${QEMU}/${vmid}/config`, {
    scsi0: "vmdata:0,import-from=/tmp/image.qcow2,ssd=1,discard=on,iothread=1,format=qcow2",
  });
  await call("PUT", `${QEMU}/${vmid}/config`, { ide2: "vmdata:cloudinit", boot: "order=scsi0" });
  await call("POST", `${QEMU}/${vmid}/template`);
}

describe("a template", () => {
  test("is made with the lines that the real node prints", async () => {
    const node = newNode();
    await makeTemplate(node);
    const formatted = (file: string, size: number) =>
      `Formatting '/var/lib/vmdata/images/9000/${file}', fmt=qcow2 cluster_size=65536 extended_l2=off preallocation=metadata compression_type=zlib size=${size} lazy_refcounts=off refcount_bits=16`;
    const imported = "vmdata:0,import-from=/tmp/image.qcow2,ssd=1,discard=on,iothread=1,format=qcow2";
    assert.deepEqual(node.logged(), [
      formatted("vm-9000-disk-0.qcow2", 540672),
      "transferred 0.0 B of 528.0 KiB (0.00%)",
      "transferred 528.0 KiB of 528.0 KiB (100.00%)",
      "efidisk0: successfully created disk 'vmdata:9000/vm-9000-disk-0.qcow2,efitype=4m,pre-enrolled-keys=0,size=528K'",
      `update VM 9000: -scsi0 ${imported}`,
      formatted("vm-9000-disk-1.qcow2", 1024 ** 3),
      "transferred 0.0 B of 1.0 GiB (0.00%)",
      "transferred 1.0 GiB of 1.0 GiB (100.00%)",
      "scsi0: successfully created disk 'vmdata:9000/vm-9000-disk-1.qcow2,discard=on,iothread=1,size=1G,ssd=1'",
      "update VM 9000: -boot order=scsi0 -ide2 vmdata:cloudinit",
      formatted("vm-9000-cloudinit.qcow2", 4194304),
      "ide2: successfully created disk 'vmdata:9000/vm-9000-cloudinit.qcow2,media=cdrom'",
      "generating cloud-init ISO",
    ]);
    const config = await node.config(9000);
    assert.equal(config.template, 1);
    assert.equal(config.scsi0, "vmdata:9000/base-9000-disk-1.qcow2,discard=on,iothread=1,size=1G,ssd=1");
    assert.match(String(config.net0), /^virtio=BC:24:11(?::[0-9A-F]{2}){3},bridge=vmbr0$/);
    assert.equal(config.tags, "alma9;k3s");
  });

  test("cannot go while a linked clone needs it, but full clones do not mind", async () => {
    const node = newNode();
    await makeTemplate(node);
    await node.call("POST", `${QEMU}/9000/clone`, { newid: 100, name: "full", full: 1 });
    await node.call("POST", `${QEMU}/9000/clone`, { newid: 101, name: "linked" });
    assert.match(
      String((await node.config(101)).scsi0),
      /^vmdata:9000\/base-9000-disk-1\.qcow2\/101\/vm-101-disk-1\.qcow2,/,
    );
    await assert.rejects(node.call("DELETE", `${QEMU}/9000`), {
      message: "base volume 'vmdata:9000/base-9000-disk-0.qcow2' is still in use by linked cloned",
    });
    await node.call("DELETE", `${QEMU}/101`);
    await node.call("DELETE", `${QEMU}/9000`);
    await node.call("PUT", `${QEMU}/100/resize`, { disk: "scsi0", size: "+3G" });
    assert.match(String((await node.config(100)).scsi0), /size=4G/);
    assert.equal(node.world.vms.get(100)?.templateName, IMAGE);
  });
});

describe("a VM", () => {
  test("that cannot be made leaves nothing behind", async () => {
    const node = newNode();
    const bad = { vmid: 100, scsi0: "vmdata:1,format=qcow2", scsi1: "vmdata:7/none.qcow2" };
    await assert.rejects(node.call("POST", QEMU, bad), {
      message: "unable to create VM 100 - volume 'vmdata:7/none.qcow2' does not exist",
    });
    assert.deepEqual(node.world.vms.list(), []);
    assert.deepEqual(await node.world.storages.content(node.world.storages.get("vmdata")), []);
  });

  test("that runs takes over what it can and keeps the rest for its next start", async () => {
    const node = newNode();
    await node.call("POST", QEMU, { vmid: 100, cores: 1, memory: 512 });
    await node.call("POST", `${QEMU}/100/status/start`);
    await node.call("PUT", `${QEMU}/100/config`, { cores: 2, tags: "a", delete: "memory" });
    assert.equal((await node.config(100)).cores, 2);
    assert.equal((await node.config(100, 1)).cores, 1);
    assert.equal((await node.config(100, 1)).tags, "a");
    const pending = (await node.call("GET", `${QEMU}/100/pending`)) as Record<string, unknown>[];
    assert.deepEqual(
      pending.filter(({ key }) => key === "cores" || key === "memory"),
      [
        { key: "cores", value: 1, pending: 2 },
        { key: "memory", value: "512", delete: 1 },
      ],
    );
    await node.call("POST", `${QEMU}/100/status/reboot`);
    assert.equal((await node.config(100, 1)).cores, 2);
    assert.equal((await node.config(100, 1)).memory, undefined);
  });

  test("keeps a disk that is taken off as unused, and frees it when that is removed", async () => {
    const node = newNode();
    await node.call("POST", QEMU, { vmid: 100, scsi0: "vmdata:1", ide2: "vmdata:cloudinit" });
    assert.equal((await node.config(100)).boot, "order=scsi0;ide2");
    await node.call("PUT", `${QEMU}/100/config`, { delete: "scsi0,ide2" });
    const config = await node.config(100);
    assert.equal(config.unused0, "vmdata:100/vm-100-disk-0.raw");
    assert.equal(config.boot, "order=");
    await node.call("PUT", `${QEMU}/100/config`, { scsi3: "vmdata:100/vm-100-disk-0.raw" });
    assert.equal((await node.config(100)).unused0, undefined);
    await node.call("PUT", `${QEMU}/100/config`, { delete: "scsi3" });
    await node.call("PUT", `${QEMU}/100/config`, { delete: "unused0" });
    assert.deepEqual(await node.world.storages.content(node.world.storages.get("vmdata")), []);
  });

  test("does not name a volume that is gone, even when the rest of a change fails", async () => {
    const node = newNode();
    await node.call("POST", QEMU, { vmid: 100, ide2: "vmdata:cloudinit" });
    const change = { delete: "ide2", scsi0: "vmdata:7/none.qcow2" };
    await assert.rejects(node.call("PUT", `${QEMU}/100/config`, change), {
      message: /none\.qcow2' does not exist/,
    });
    assert.equal((await node.config(100)).ide2, undefined);
  });

  test("moves its disk to another storage, and back as another format", async () => {
    const node = newNode();
    await node.call("POST", QEMU, { vmid: 100, scsi0: "vmdata:1,format=qcow2" });
    await node.call("POST", `${QEMU}/100/move_disk`, { disk: "scsi0", storage: "local", delete: 1 });
    assert.equal((await node.config(100)).scsi0, "local:100/vm-100-disk-0.qcow2,size=1G");
    await node.call("POST", `${QEMU}/100/move_disk`, { disk: "scsi0", storage: "vmdata", format: "raw" });
    const config = await node.config(100);
    assert.equal(config.scsi0, "vmdata:100/vm-100-disk-0.raw,size=1G");
    assert.equal(config.unused0, "local:100/vm-100-disk-0.qcow2");
  });

  test("does not start when its guest does not, and says why", async () => {
    const node = newNode({
      ...emptyGuests,
      started: async () => {
        throw new Error("no control plane");
      },
    });
    await node.call("POST", QEMU, { vmid: 100 });
    await assert.rejects(node.call("POST", `${QEMU}/100/status/start`), { message: "no control plane" });
    assert.equal(node.world.vms.get(100)?.running, undefined);
  });

  test("is made once when two clients want the same VMID", async () => {
    const node = newNode();
    await makeTemplate(node);
    const clone = async (name: string) =>
      await node.call("POST", `${QEMU}/9000/clone`, { newid: 100, name, full: 1 });
    const results = await Promise.allSettled([clone("one"), clone("two")]);
    assert.deepEqual(results.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
    const [failed] = results.filter((result) => result.status === "rejected");
    assert.match(String(failed?.reason), /unable to create VM 100: config file already exists/);
  });
});

describe("importDisk", () => {
  test("adds the image as unused, or where it is told", async () => {
    const node = newNode();
    await node.call("POST", QEMU, { vmid: 100 });
    await createQcow2(node.world.files.toHost("/tmp/i.qcow2"), 2 * 1024 ** 3);
    const lines: string[] = [];
    const request = { vmid: 100, source: "/tmp/i.qcow2", storage: "vmdata" };
    await importDisk(node, request, (line) => lines.push(line));
    await importDisk(node, { ...request, format: "qcow2", targetDisk: "scsi0" }, (line) => lines.push(line));
    assert.equal(lines[0], "importing disk '/tmp/i.qcow2' to VM 100 ...");
    assert.equal(lines.at(-1), "scsi0: successfully imported disk 'vmdata:100/vm-100-disk-1.qcow2'");
    const config = await node.config(100);
    assert.equal(config.unused0, "vmdata:100/vm-100-disk-0.raw");
    assert.equal(config.scsi0, "vmdata:100/vm-100-disk-1.qcow2");
  });

  for (const [what, content, message] of [
    ["nothing there", undefined, "/tmp/i.qcow2: non-existent or non-regular file"],
    ["no qcow2 in it", "x".repeat(5120), /^copy failed: command '\/usr\/bin\/qemu-img convert /],
    [
      "a damaged header",
      Buffer.concat([Buffer.from("514649fb00000003", "hex"), Buffer.alloc(200)]),
      /Could not open '\/tmp\/i\.qcow2': Unsupported cluster size: 2\^0/,
    ],
  ] as const) {
    test(`fails with ${what}, and leaves no volume`, async () => {
      const node = newNode();
      await node.call("POST", QEMU, { vmid: 100 });
      if (content !== undefined) writeFileSync(node.world.files.toHost("/tmp/i.qcow2"), content);
      const request = { vmid: 100, source: "/tmp/i.qcow2", storage: "vmdata" };
      await assert.rejects(
        importDisk(node, request, () => {}),
        { message },
      );
      assert.deepEqual(await node.world.storages.content(node.world.storages.get("vmdata")), []);
    });
  }
});
