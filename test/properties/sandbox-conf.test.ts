import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { digestOf, formatConf, parseConf } from "../../lib/sandbox/world/conf-file.ts";

const key = fc.constantFrom("name", "cores", "memory", "net0", "scsi0", "tags", "args", "sshkeys");
const value = fc.string({ unit: "grapheme" }).filter((text) => !/[\r\n\u2028\u2029]/.test(text));
const description = fc.string({ unit: "grapheme" }).map((text) => text.replaceAll("\0", ""));

const options = fc
  .record({ options: fc.dictionary(key, value), description: fc.option(description, { nil: undefined }) })
  .map(({ options: rest, description: text }) =>
    text === undefined ? rest : { ...rest, description: text },
  );
const conf = fc.record({
  config: options,
  pending: fc.record({ set: options, deleted: fc.uniqueArray(key) }).map(
    ({ set, deleted }): Record<string, string | null> => ({
      ...set,
      ...Object.fromEntries(deleted.map((name) => [name, null])),
    }),
  ),
});

test("a VM's configuration file reads back as it was written, whatever is in it", () => {
  fc.assert(
    fc.property(conf, (written) => {
      assert.deepEqual({ ...parseConf(formatConf(written)) }, normal(written));
    }),
    { numRuns: 300 },
  );
});

test("the digest depends on what is in the file, not on the order of options", () => {
  fc.assert(
    fc.property(conf, (written) => {
      const reversed = Object.fromEntries(Object.entries(written.config).reverse());
      assert.equal(digestOf({ ...written, config: reversed }), digestOf(written));
      assert.notEqual(
        digestOf({ ...written, config: { ...written.config, onboot: "1" } }),
        digestOf(written),
      );
    }),
  );
});

/** fast-check's dictionaries have no prototype. */
function normal<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}
