import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { describe, test } from "node:test";
import { duplexPair } from "../../lib/sandbox/guest/pair.ts";

async function hashOf(stream: Duplex): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

describe("two ends of a connection within the process", () => {
  test("carry megabytes both ways at once, unharmed", async () => {
    const [one, other] = duplexPair();
    const chunks = Array.from({ length: 80 }, (_, index) => randomBytes(1 + ((index * 7919) % 131_072)));
    const expected = createHash("sha256").update(Buffer.concat(chunks)).digest("hex");
    const fill = async (end: Duplex) => {
      for (const chunk of chunks) if (!end.write(chunk)) await once(end, "drain");
      end.end();
    };
    const [mine, theirs] = await Promise.all([hashOf(one), hashOf(other), fill(one), fill(other)]);
    assert.deepEqual([mine, theirs], [expected, expected]);
  });

  test("hold the writer back while nobody reads", async () => {
    const [one, other] = duplexPair();
    let written = 0;
    while (one.write(Buffer.alloc(16_384)) && written < 100) written += 1;
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(written < 100, "everything was taken");
    assert.equal(one.writableNeedDrain, true);
    other.resume();
    await once(one, "drain");
  });

  test("end together when one of them is dropped", async () => {
    const [one, other] = duplexPair();
    const ended = once(other.resume(), "end");
    one.destroy();
    await ended;
  });
});
