import assert from "node:assert/strict";
import { test } from "node:test";
import ssh2 from "ssh2";
import { makeKey } from "../../lib/sandbox/ssh/keys.ts";

test("every key that the sandbox makes can be read", () => {
  for (let count = 0; count < 1500; count += 1) {
    const key = ssh2.utils.parseKey(makeKey("try").private);
    assert.ok(!(key instanceof Error) && !Array.isArray(key));
    assert.equal(key.type, "ssh-ed25519");
  }
});
