import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { deflateRawSync } from "node:zlib";
import { createQcow2, growQcow2, ImageError, inspectImage } from "../../lib/sandbox/world/qcow2.ts";
import { convertToRaw } from "../../lib/sandbox/world/qcow2-read.ts";
import { copySparse } from "../../lib/sandbox/world/sparse-copy.ts";

const dir = mkdtempSync(join(tmpdir(), "homelab-images-"));
after(() => rmSync(dir, { recursive: true, force: true }));

const CLUSTER = 65_536;

/** An image with a plain cluster at 0, a compressed one at 2 and nothing else. */
async function imageWithData(name: string, size: number): Promise<string> {
  const file = join(dir, name);
  await createQcow2(file, size);
  const handle = await open(file, "r+");
  const end = (await handle.stat()).size;
  const packed = deflateRawSync(Buffer.alloc(CLUSTER, "packed "));
  const l2 = Buffer.alloc(CLUSTER);
  l2.writeBigUInt64BE((1n << 63n) | BigInt(end + CLUSTER), 0);
  const sectors = BigInt(Math.ceil(packed.length / 512) - 1);
  l2.writeBigUInt64BE((1n << 62n) | (sectors << 54n) | BigInt(end + 2 * CLUSTER), 16);
  const l1 = Buffer.alloc(8);
  l1.writeBigUInt64BE((1n << 63n) | BigInt(end));
  await handle.write(l2, 0, CLUSTER, end);
  await handle.write(Buffer.alloc(CLUSTER, "plain "), 0, CLUSTER, end + CLUSTER);
  await handle.write(packed, 0, packed.length, end + 2 * CLUSTER);
  await handle.write(l1, 0, 8, 3 * CLUSTER);
  await handle.close();
  return file;
}

describe("convertToRaw", () => {
  test("shows what a guest would see: plain, compressed and empty clusters", async () => {
    const source = await imageWithData("data.qcow2", 10 * CLUSTER);
    const target = join(dir, "data.raw");
    await convertToRaw(source, target);
    const expected = Buffer.alloc(10 * CLUSTER);
    expected.fill("plain ", 0, CLUSTER);
    expected.fill("packed ", 2 * CLUSTER, 3 * CLUSTER);
    assert.ok(readFileSync(target).equals(expected));
  });

  test("reads through an image on top of another", async () => {
    await imageWithData("below.qcow2", 4 * CLUSTER);
    const above = join(dir, "above.qcow2");
    await createQcow2(above, 8 * CLUSTER, { file: "below.qcow2", format: "qcow2" });
    const target = join(dir, "above.raw");
    await convertToRaw(above, target);
    const data = readFileSync(target);
    assert.equal(data.length, 8 * CLUSTER);
    assert.equal(data.toString("utf8", 0, 6), "plain ");
    assert.ok(data.subarray(3 * CLUSTER).every((byte) => byte === 0));
  });
});

describe("qcow2 headers", () => {
  test("growing keeps the data and makes room for it in the table", async () => {
    const file = await imageWithData("grow.qcow2", 10 * CLUSTER);
    await growQcow2(file, 2 * 1024 ** 4);
    assert.equal((await inspectImage(file))?.virtualSize, 2 * 1024 ** 4);
    const header = readFileSync(file).subarray(0, 104);
    assert.equal(header.readUInt32BE(36), (2 * 1024 ** 4) / (512 * 1024 ** 2));
    await assert.rejects(growQcow2(file, 64 * 1024 ** 4), ImageError);
  });

  test("a damaged header is refused, anything else is raw", async () => {
    const file = await imageWithData("damaged.qcow2", CLUSTER);
    const handle = await open(file, "r+");
    await handle.write(Buffer.from([0, 0, 0, 0]), 0, 4, 20);
    await handle.close();
    await assert.rejects(inspectImage(file), { message: "Unsupported cluster size: 2^0" });
    writeFileSync(join(dir, "text"), "x".repeat(700));
    assert.deepEqual(await inspectImage(join(dir, "text")), {
      format: "raw",
      virtualSize: 1024,
      backingFile: undefined,
    });
    assert.equal(await inspectImage(join(dir, "none")), undefined);
  });
});

describe("copySparse", () => {
  test("copies byte by byte, leaves holes and never overwrites", async () => {
    const source = join(dir, "sparse");
    const handle = await open(source, "w");
    await handle.truncate(64 * 1024 ** 2);
    await handle.write("in the middle", 33 * 1024 ** 2);
    await handle.write("end", 64 * 1024 ** 2 - 3);
    await handle.close();
    const target = join(dir, "copy");
    await copySparse(source, target);
    assert.ok(readFileSync(target).equals(readFileSync(source)));
    assert.ok(statSync(target).blocks * 512 < 1024 ** 2);
    await assert.rejects(copySparse(source, target), { code: "EEXIST" });
  });

  test("leaves nothing behind when it is stopped", async () => {
    const target = join(dir, "stopped");
    await assert.rejects(copySparse(join(dir, "sparse"), target, { signal: AbortSignal.abort() }));
    assert.throws(() => statSync(target), /ENOENT/);
  });
});
