import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { TaskError } from "../../lib/errors.ts";
import { createSparseQcow2, inspectQcow2 } from "../../lib/proxmox/index.ts";

const dir = mkdtempSync(join(tmpdir(), "homelab-qcow2-"));
const GIB = 1024 ** 3;
const CLUSTER = 65_536;
const NO_QEMU = programMissing("qemu-img") && "qemu-img is not installed";

/** An empty image of a gigabyte; the others are made of it. */
const EMPTY = join(dir, "empty.qcow2");

before(async () => await createSparseQcow2(EMPTY, GIB));
after(() => rmSync(dir, { recursive: true, force: true }));

function programMissing(program: string): boolean {
  try {
    execFileSync(program, ["--version"], { stdio: "ignore" });
    return false;
  } catch {
    return true;
  }
}

type Patch = readonly [offset: number, bytes: Buffer];

function be32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function be64(value: bigint | number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

/** The empty image with some bytes replaced. */
async function patched(name: string, ...patches: readonly Patch[]): Promise<string> {
  const file = join(dir, `${name}.qcow2`);
  copyFileSync(EMPTY, file);
  const handle = await open(file, "r+");
  for (const [offset, bytes] of patches) await handle.write(bytes, 0, bytes.length, offset);
  await handle.close();
  return file;
}

/** An image whose second table, at its end, has these entries, and whose file then ends at `size`. */
async function withEntries(
  name: string,
  entries: readonly bigint[],
  size: number,
  ...more: readonly Patch[]
): Promise<string> {
  const l2 = statSync(EMPTY).size;
  const table = Buffer.concat(entries.map(be64));
  const file = await patched(name, [3 * CLUSTER, be64(l2)], [l2, table], ...more);
  truncateSync(file, size);
  return file;
}

async function refusal(file: string): Promise<TaskError> {
  const error = await inspectQcow2(file).then(
    () => assert.fail("it was taken"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof TaskError, String(error));
  assert.equal(error.what, `${file} cannot be used as an image`);
  assert.notDeepEqual(error.todo, [], `nothing is said of what to do: ${error.why}`);
  return error;
}

describe("images that are taken", () => {
  test("an empty one of ours", async () => {
    assert.deepEqual(await inspectQcow2(EMPTY), {
      version: 3,
      virtualSize: GIB,
      fileSize: statSync(EMPTY).size,
      clusterSize: CLUSTER,
    });
  });

  test("version 2, which has no features", async () => {
    const file = await patched("v2", [4, be32(2)], [72, be64(0xffff)]);
    assert.equal((await inspectQcow2(file)).version, 2);
  });

  test("one with terabytes for the guest", async () => {
    const file = join(dir, "large.qcow2");
    await createSparseQcow2(file, 40 * 1024 * GIB);
    assert.equal((await inspectQcow2(file)).virtualSize, 40 * 1024 * GIB);
  });

  test("one whose last cluster is not written in full, though others follow in the tables", async () => {
    const second = statSync(EMPTY).size + CLUSTER;
    const data = second + CLUSTER;
    const first: Patch = [3 * CLUSTER + 8, be64(second)];
    assert.ok(await inspectQcow2(await withEntries("partial", [BigInt(data)], data + 512, first)));
  });

  test("one with bitmaps in its tables (extended L2 entries)", async () => {
    const end = statSync(EMPTY).size + CLUSTER;
    const entries = [BigInt(end), 0xffff_ffffn, 0n, 0x00ff_ffff_ffff_ff00n];
    const file = await withEntries("extended", entries, end + CLUSTER, [36, be32(4)], [72, be64(16)]);
    assert.ok(await inspectQcow2(file));
  });

  for (const [compat, options] of [
    ["0.10", []],
    ["1.1", []],
    ["1.1", ["-c"]],
  ] as const) {
    test(`what qemu-img makes (compat=${compat} ${options.join("")})`, { skip: NO_QEMU }, async () => {
      const raw = join(dir, "data.raw");
      writeFileSync(raw, Buffer.alloc(3 * 1024 ** 2, "some data "));
      const file = join(dir, `qemu-${compat}${options.join("")}.qcow2`);
      execFileSync("qemu-img", ["convert", ...options, "-O", "qcow2", "-o", `compat=${compat}`, raw, file]);
      assert.equal((await inspectQcow2(file)).virtualSize, 3 * 1024 ** 2);
      truncateSync(file, Math.floor(statSync(file).size / 2));
      assert.match((await refusal(file)).why ?? "", /cut off/);
    });
  }

  test("qemu-img finds nothing wrong with an empty one of ours", { skip: NO_QEMU }, () => {
    execFileSync("qemu-img", ["check", EMPTY]);
  });
});

describe("images that are refused", () => {
  const patches: Readonly<Record<string, readonly [why: RegExp, ...patches: readonly Patch[]]>> = {
    "another magic number": [/not in qcow2 format/, [0, Buffer.from("KDMV")]],
    "version 1": [/version 1; 2 and 3 are known/, [4, be32(1)]],
    "a version to come": [/version 4/, [4, be32(4)]],
    "impossible clusters": [/cluster size \(2\^8 bytes\)/, [20, be32(8)]],
    "a disk of no size": [/virtual size \(0 bytes\)/, [24, be64(0)]],
    "a size that is no multiple of a sector": [/virtual size \(1000 bytes\)/, [24, be64(1000)]],
    "a backing file": [/backing file/, [8, be64(512)]],
    encryption: [/encrypted/, [32, be32(2)]],
    "a dirty flag": [/not closed properly/, [72, be64(1)]],
    "a corrupt flag": [/marked as corrupt/, [72, be64(2)]],
    "data in another file": [/in another file/, [72, be64(4)]],
    "a feature to come": [/feature of qcow2 that is not known/, [72, be64(32)]],
    "a table that is too small for the disk": [/does not fit its virtual size/, [24, be64(1024 * GIB)]],
    "a table beyond all measure": [/does not fit its virtual size/, [36, be32(0xffff_ffff)]],
    "a table beyond the end": [/cut off/, [40, be64(1024 * GIB)]],
  };
  for (const [title, [why, ...bytes]] of Object.entries(patches)) {
    test(title, async () => {
      const file = await patched(title.replaceAll(" ", "-"), ...bytes);
      assert.match((await refusal(file)).why ?? "", why);
    });
  }

  test("a missing file", async () => {
    const { why, todo } = await refusal(join(dir, "nothing"));
    assert.equal(why, "There is no such file");
    assert.deepEqual(todo, ["Name an existing file, or build an image:", "$ npm run build-image"]);
  });

  test("a folder", async () => {
    mkdirSync(join(dir, "folder"));
    assert.equal((await refusal(join(dir, "folder"))).why, "It is not a regular file");
  });

  test("a named pipe, without waiting for its writer", async () => {
    const pipe = join(dir, "pipe");
    execFileSync("mkfifo", [pipe]);
    assert.equal((await refusal(pipe)).why, "It is not a regular file");
  });

  test("a file that may not be read", {
    skip: process.getuid?.() === 0 && "root may read everything",
  }, async () => {
    const file = await patched("secret");
    execFileSync("chmod", ["000", file]);
    assert.match((await refusal(file)).why ?? "", /cannot be read \(EACCES\)/);
  });

  test("an empty file, and one shorter than a header", async () => {
    for (const content of ["", "QFI\xfb"]) {
      const file = join(dir, "short.qcow2");
      writeFileSync(file, content, "latin1");
      assert.match((await refusal(file)).why ?? "", /not in qcow2 format/);
    }
  });

  test("a file that ends within its tables", async () => {
    const file = await patched("within-tables");
    truncateSync(file, 2 * CLUSTER);
    assert.match((await refusal(file)).why ?? "", /cut off: it refers to byte \d+ of 131072/);
  });

  test("a file that lacks plain data", async () => {
    const end = statSync(EMPTY).size + CLUSTER;
    const entries = [BigInt(end), BigInt(end + CLUSTER)];
    assert.match((await refusal(await withEntries("plain", entries, end + 512))).why ?? "", /cut off/);
  });

  test("a file that lacks compressed data", async () => {
    const end = statSync(EMPTY).size + CLUSTER;
    // A download that broke off: the tables stand before the data.
    const packed = (1n << 62n) | (3n << 54n) | BigInt(end + 5 * CLUSTER + 100);
    assert.match((await refusal(await withEntries("packed", [packed], end + CLUSTER))).why ?? "", /cut off/);
    assert.ok(await inspectQcow2(await withEntries("packed-whole", [packed], end + 5 * CLUSTER + 2048)));
  });

  test("the commands for mending can be pasted, whatever the file is called", async () => {
    const raw = join(dir, "it's $(raw).img");
    writeFileSync(raw, "x".repeat(1000));
    const { todo } = await refusal(raw);
    assert.ok(
      todo.includes(`$ qemu-img convert -O qcow2 '${raw.replace("'", "'\\''")}' image.qcow2`),
      todo.join("\n"),
    );
    const dirty = await refusal(await patched("dirty flag", [72, be64(1)]));
    assert.ok(dirty.todo.includes(`$ qemu-img check -r all '${join(dir, "dirty flag.qcow2")}'`));
  });
});
