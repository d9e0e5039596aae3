import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { runMark } from "../../lib/run-mark.ts";
import { runSteps } from "../../lib/task/run.ts";
import { beingCloned, type Guest, halfMade, Journal, type Plan, parsePlan } from "../../lib/tofu/index.ts";
import { halfMadeStep } from "../../tasks/environment/half-made.ts";

/** A VM is removed only when it is certain that a run of ours has made it and no state has ever known it. */

const dir = mkdtempSync(join(tmpdir(), "half-made-"));
after(() => rmSync(dir, { recursive: true, force: true }));

const create: Plan = parsePlan(
  readFileSync(new URL("../fixtures/tofu/create.json", import.meta.url), "utf8"),
);
const BEGUN = [{ id: "0badc0de", since: "2026-11-26T14:57:55Z", guests: [100, 105] }];

function guest(vmid: number, config: Record<string, string>, more: Partial<Guest> = {}): Guest {
  return { vmid, name: "k3s-s1", node: "pve", template: false, addresses: [], config, ...more };
}

const NOTES = "Made from the template t (100) by run 0badc0de and changed by OpenTofu: …";

test("a VM of the run that was begun, with the name that the plan makes, is half made", () => {
  assert.deepEqual(
    halfMade(create, [guest(101, { description: NOTES })], BEGUN).map((each) => each.guest.vmid),
    [101],
  );
});

for (const [what, other, begun] of [
  [
    "of another run, be it of a state that was lost",
    guest(101, { description: NOTES.replace("0bad", "1bad") }),
    BEGUN,
  ],
  ["of a run that has ended well", guest(101, { description: NOTES }), []],
  ["without notes", guest(101, {}), BEGUN],
  ["that was there before the run", guest(105, { description: NOTES }), BEGUN],
  ["of another name", guest(101, { description: NOTES }, { name: "k3s-s2" }), BEGUN],
  ["that is a template", guest(101, { description: NOTES }, { template: true }), BEGUN],
] as const) {
  test(`a VM ${what} is not`, () => {
    assert.deepEqual(halfMade(create, [other], begun), []);
  });
}

test("a VM that the state knows is not", () => {
  const update = parsePlan(readFileSync(new URL("../fixtures/tofu/update.json", import.meta.url), "utf8"));
  const [known] = update.resources.flatMap(({ before }) => before ?? []);
  const same = guest(known?.vmid ?? 0, { description: NOTES }, { name: known?.name ?? "" });
  assert.deepEqual(halfMade(update, [same], [{ ...BEGUN[0], guests: [] } as (typeof BEGUN)[0]]), []);
});

test("clones that were not there before are waited for, others are not", () => {
  const clones = [
    guest(101, { lock: "clone" }),
    guest(105, { lock: "clone" }),
    guest(102, { lock: "backup" }),
  ];
  assert.deepEqual(
    beingCloned(clones, BEGUN).map(({ vmid }) => vmid),
    [101],
  );
});

test("the journal knows runs until they have ended, is for its owner alone, and nothing in it is trusted blindly", () => {
  const file = join(dir, "begun", "k3s-single.json");
  const journal = new Journal(file);
  assert.deepEqual(journal.begun(), []);
  journal.begin([100]);
  journal.begin([100, 101]);
  const { id, since } = runMark();
  assert.deepEqual(new Journal(file).begun(), [{ id, since, guests: [100, 101], mark: runMark() }]);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(join(dir, "begun")), ["k3s-single.json"]);
  writeFileSync(file, JSON.stringify({ runs: [{ id: "0badc0de", since, guests: [] }] }));
  journal.begin([]);
  assert.deepEqual(
    journal.begun().map((run) => [run.id, run.mark?.pid]),
    [
      ["0badc0de", undefined],
      [id, process.pid],
    ],
    "a journal of a former release is gone on with",
  );
  writeFileSync(file, '{"runs":[{"id":');
  assert.deepEqual(journal.begun(), []);
  journal.end();
  assert.deepEqual(readdirSync(join(dir, "begun")), []);
});

/** Runs the step on what a node shows, one after the other. */
async function perform(
  looks: readonly (readonly Guest[])[],
  yes: boolean,
  cloning = true,
): Promise<{ removed: number[]; notes: string[] }> {
  const removed: number[] = [];
  const notes: string[] = [];
  let look = 0;
  const step = halfMadeStep(
    () => create,
    () => BEGUN,
    {
      guests: async () => looks[Math.min(look++, looks.length - 1)] ?? [],
      cloning: async () => cloning,
      remove: async ({ vmid }) => void removed.push(vmid),
    },
  );
  await runSteps([step], {
    signal: new AbortController().signal,
    yes,
    reporter: {
      drawsList: false,
      step: () => {},
      output: () => {},
      note: (line) => void notes.push(line),
    },
  });
  return { removed, notes };
}

test("the step waits for the clone, then removes the VM, and says so", async () => {
  const cloning = guest(101, { lock: "clone", description: " qmclone temporary file" }, { name: "VM 101" });
  const others = [guest(100, {}, { template: true }), guest(105, { description: NOTES })];
  const { removed, notes } = await perform(
    [
      [...others, cloning],
      [...others, guest(101, { description: NOTES })],
    ],
    true,
  );
  assert.deepEqual(removed, [101]);
  assert.deepEqual(notes, [
    "Removed VM 101 (k3s-s1), which run 0badc0de of 2026-11-26T14:57:55Z has left half made",
  ]);
});

test("a clone that nobody goes on with is not waited for: it stays, and is named", async () => {
  const dead = guest(101, { lock: "clone", description: " qmclone temporary file" }, { name: "VM 101" });
  const { removed, notes } = await perform([[dead]], true, false);
  assert.deepEqual(removed, []);
  assert.match(
    notes.join(),
    /^VM 101 on pve is locked by a clone that has ended.* qm unlock 101; qm destroy 101/,
  );
});

for (const [what, later] of [
  ["another VM by its number", guest(101, { description: "precious" }, { name: "somebody-elses" })],
  [
    "a VM of that name and these notes that somebody has worked on",
    guest(101, { description: NOTES, scsi1: "a disk" }),
  ],
] as const) {
  test(`${what}, which is there when the question is answered, stays`, async () => {
    const seen = guest(101, { description: NOTES });
    const { removed, notes } = await perform([[seen], [later]], true);
    assert.deepEqual(removed, []);
    assert.match(notes.join(), /^VM 101 is not what it was when it was asked about \(.+ now\): it stays$/);
  });
}

test("without an answer nothing is removed", async () => {
  await assert.rejects(
    perform([[guest(101, { description: NOTES })]], false),
    /Remove VM 101|no terminal|--yes/,
  );
});
