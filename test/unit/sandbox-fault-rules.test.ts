import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import fc from "fast-check";
import { faultControl } from "../../lib/sandbox/faults/control.ts";
import { type FaultRule, Faults } from "../../lib/sandbox/faults/index.ts";
import { checkedRules, fits } from "../../lib/sandbox/faults/rules.ts";

const base = mkdtempSync(join(tmpdir(), "homelab-rules-"));
after(() => rmSync(base, { recursive: true, force: true }));

let dirs = 0;
/** Faults in a folder of their own, as the running sandbox asks them and as somebody outside sets them. */
function faultsWith(rules: readonly FaultRule[]) {
  dirs += 1;
  const dir = join(base, String(dirs));
  const said: string[] = [];
  const control = faultControl(dir);
  control.set(rules);
  return { dir, control, said, faults: new Faults(dir, (line) => said.push(line)) };
}

describe("a pattern", () => {
  test("fits the whole text, and nothing in it but the star is special", () => {
    assert.ok(fits("GET /nodes/*/qemu", "GET /nodes/pve/qemu"));
    assert.ok(fits("*", "several\nlines"));
    assert.ok(!fits("GET /nodes/*/qemu", "GET /nodes/pve/qemu/100"));
    assert.ok(!fits("qm.create", "qm create"));
    const text = fc.string().filter((one) => !one.includes("*"));
    fc.assert(
      fc.property(text, text, fc.string(), (head, tail, middle) => {
        assert.ok(fits(`${head}*${tail}`, head + middle + tail));
        assert.equal(fits(head, tail), head === tail);
      }),
    );
  });
});

describe("a rule", () => {
  test("strikes from the nth thing that fits, count times, each rule by itself", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 }), (nth, count) => {
        const { faults } = faultsWith([
          { where: "command", match: "qm *", nth, count, effect: { exit: 1 } },
          { where: "command", count: "always", effect: { delay: 1 } },
        ]);
        const struck = Array.from({ length: 12 }, () => {
          assert.deepEqual(faults.due("command", "df /"), [{ delay: 1 }]);
          return faults.due("command", "qm list").length === 2;
        });
        const wanted = struck.map((_, index) => index + 1 >= nth && index + 1 < nth + count);
        assert.deepEqual(struck, wanted);
      }),
    );
  });

  test("counts anew once rules are set, even the same ones, and is gone once they are cleared", () => {
    const rules: FaultRule[] = [{ where: "ssh", effect: { refuse: true } }];
    const { faults, control } = faultsWith(rules);
    const hits = (): number => faults.due("ssh", "connection").length;
    assert.deepEqual([hits(), hits()], [1, 0]);
    control.set(rules);
    assert.deepEqual(control.struck(), []);
    assert.deepEqual([hits(), hits()], [1, 0]);
    assert.deepEqual(control.struck(), [{ rule: 0, where: "ssh", what: "connection" }]);
    control.clear();
    assert.equal(hits(), 0);
  });

  test("holds for a storage as long as it is there", () => {
    const { faults, control } = faultsWith([
      { where: "storage", match: "vm*", effect: { size: 5 } },
      { where: "storage", match: "local", effect: { offline: true } },
    ]);
    assert.deepEqual(
      [faults.sizeOf("vmdata"), faults.sizeOf("vmdata"), faults.sizeOf("local")],
      [5, 5, undefined],
    );
    assert.deepEqual([faults.isOffline("vmdata"), faults.isOffline("local")], [false, true]);
    assert.deepEqual(control.struck(), []);
  });
});

describe("rules from outside", () => {
  test("are refused together when one is wrong, with its number and the reason", () => {
    const right = { where: "api", effect: { delay: 5 } };
    const wrong: readonly (readonly [unknown, RegExp])[] = [
      [{ ...right, nth: 0 }, /rule 2: nth: .*>=1/],
      [{ ...right, count: "often" }, /rule 2: count/],
      [{ ...right, effect: { status: 200 } }, /rule 2: effect/],
      [{ ...right, effect: { delay: 5, status: 500 } }, /rule 2: effect/],
      [{ ...right, where: "nowhere" }, /rule 2: where/],
      [{ ...right, more: 1 }, /rule 2: more/],
      [{ where: "storage", nth: 2, effect: { size: 1 } }, /rule 2: nth/],
    ];
    for (const [rule, why] of wrong) assert.throws(() => checkedRules([right, rule]), why);
    assert.throws(() => checkedRules({ rules: [] }), /a list of rules/);
  });

  test("that somebody has written wrongly into the file are passed over, and that is said", () => {
    const { dir, faults, said } = faultsWith([{ where: "api", count: "always", effect: { delay: 1 } }]);
    assert.equal(faults.due("api", "GET /version").length, 1);
    writeFileSync(join(dir, "state", "faults.json"), "[{");
    assert.equal(faults.due("api", "GET /version").length, 0);
    assert.match(said.at(-1) ?? "", /faults\.json is passed over/);
  });
});
