import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { TaskError } from "../../lib/errors.ts";
import {
  addressesToClaim,
  type Guest,
  leftovers,
  type NodePlaces,
  needsGuests,
  type Plan,
  parsePlan,
  refuseConflicts,
  refuseLosses,
  refuseMissingPlaces,
  refuseShrinking,
} from "../../lib/tofu/index.ts";

function recorded(name: string): Plan {
  return parsePlan(readFileSync(new URL(`../fixtures/tofu/${name}.json`, import.meta.url), "utf8"));
}

const TEMPLATE: Guest = {
  vmid: 9000,
  name: "alma9-k3-node-amd64-v1.28.5-v1",
  node: "pve",
  template: true,
  addresses: [],
  disks: { scsi0: 10 },
};

function guest(vmid: number, name: string, ...addresses: string[]): Guest {
  return { vmid, name, node: "pve2", template: false, addresses };
}

function failure(action: () => void): TaskError {
  try {
    action();
  } catch (error) {
    assert.ok(error instanceof TaskError, String(error));
    return error;
  }
  throw new Error("nothing was refused");
}

test("plans that lose no VM pass", () => {
  for (const name of ["create", "update", "outputs-only"]) refuseLosses(recorded(name), [], "again");
});

for (const name of ["replace-forced", "replace-tainted", "replace-requested", "destroy"]) {
  test(`${name}: refused unless the VM is named`, () => {
    const { what, todo, left } = failure(() =>
      refuseLosses(recorded(name), ["k3s-s2"], "npm run tf-apply -- --env k3s-single"),
    );
    assert.match(what, /would (replace|destroy) VM k3s-s1 \(100 on pve\): refused/);
    assert.ok(todo.includes("$ npm run tf-apply -- --env k3s-single --allow-replace k3s-s1"));
    assert.deepEqual(left, ["Nothing was changed"]);
    refuseLosses(recorded(name), ["k3s-s1"], "again");
  });
}

test("a name that another VM has is refused, naming that VM", () => {
  const { what, why, todo } = failure(() =>
    refuseConflicts(recorded("create"), [TEMPLATE, guest(105, "k3s-s1")]),
  );
  assert.match(what, /VM k3s-s1 cannot have the name k3s-s1: it is taken/);
  assert.match(why ?? "", /VM 105 \(k3s-s1, on pve2\)/);
  assert.ok(todo.some((line) => line.startsWith("$ qm stop 105; qm destroy 105")));
});

test("an address that another VM is configured with is refused, whatever its prefix length", () => {
  const { what, why } = failure(() =>
    refuseConflicts(recorded("create"), [guest(107, "nas", "10.23.45.9/24", "10.23.45.31/16")]),
  );
  assert.match(what, /the address 10\.23\.45\.31: it is taken/);
  assert.match(why ?? "", /VM 107 \(nas, on pve2\)/);
});

test("an address that answers on the network is refused", () => {
  const { what } = failure(() => refuseConflicts(recorded("create"), [], new Set(["10.23.45.31"])));
  assert.match(what, /something answers there/);
});

test("a VM is in nobody's way but its own", () => {
  const own = [guest(100, "k3s-s1", "10.23.45.31/24"), TEMPLATE];
  refuseConflicts(recorded("update"), own, new Set(["10.23.45.31"]));
  refuseConflicts(recorded("replace-forced"), own, new Set(["10.23.45.31"]));
  refuseConflicts(recorded("destroy"), [guest(105, "k3s-s1")]);
});

test("a template of the same name is no conflict", () => {
  refuseConflicts(recorded("create"), [{ ...TEMPLATE, name: "k3s-s1" }]);
});

test("only addresses that are new to a VM have to be free", () => {
  assert.deepEqual(addressesToClaim(recorded("create")), ["10.23.45.31"]);
  assert.deepEqual(addressesToClaim(recorded("update")), []);
  assert.equal(needsGuests(recorded("destroy")), false);
  assert.equal(needsGuests(recorded("create")), true);
});

test("a disk smaller than the template's is refused before anything is cloned", () => {
  const { what, why, todo } = failure(() =>
    refuseShrinking(recorded("create"), [{ ...TEMPLATE, disks: { scsi0: 40 } }]),
  );
  assert.match(what, /scsi0 of VM k3s-s1 cannot shrink to 32 GB/);
  assert.match(why ?? "", /template alma9-k3-node-amd64-v1\.28\.5-v1 has 40 GB/);
  assert.deepEqual(todo, ["Set disk_size to 40G or more"]);
  refuseShrinking(recorded("create"), [TEMPLATE]);
});

test("a disk that exists cannot shrink", () => {
  const plan = recorded("update");
  const [change] = plan.changes;
  assert.ok(change?.before && change.after);
  const swapped = { ...plan, changes: [{ ...change, before: change.after, after: change.before }] };
  assert.match(failure(() => refuseShrinking(swapped, [])).why ?? "", /It has 40 GB/);
  refuseShrinking(plan, []);
});

test("what a failed apply leaves is told apart: in the state, or on the node alone", async () => {
  const lines = await leftovers(
    recorded("create"),
    { managed: async () => [{ address: "a", vmid: 101, name: "k3s-s1" }] },
    async () => [guest(101, "k3s-s1"), guest(102, "k3s-s1"), guest(103, "nas"), TEMPLATE],
  );
  assert.match(lines[0] ?? "", /^VM 101 \(k3s-s1\) exists and is in the state/);
  assert.match(lines[1] ?? "", /^VM 102 \(k3s-s1\) is on the node pve2 but not in the state/);
  assert.equal(lines[2], "$ qm stop 102; qm destroy 102 --purge");
  assert.equal(lines.length, 3);
});

test("when nobody can be asked what is left, that is said", async () => {
  const [line] = await leftovers(recorded("create"), { managed: async () => [] }, async () => {
    throw new Error("connection refused");
  });
  assert.match(line ?? "", /could not be found out \(connection refused\): look for VMs called k3s-s1/);
});

test("a storage or a bridge that the node lacks is named before anything is made", async () => {
  const plan = recorded("create");
  const has = (places: NodePlaces) => async (): Promise<NodePlaces> => places;
  await refuseMissingPlaces(plan, has({ storages: ["vmdata"], bridges: ["vmbr0"] }));
  await refuseMissingPlaces(plan, has({ storages: undefined, bridges: undefined }));
  await assert.rejects(
    refuseMissingPlaces(plan, has({ storages: ["local", "other"], bridges: ["vmbr0"] })),
    (error: unknown) => {
      assert.ok(error instanceof TaskError);
      assert.match(error.what, /^VM k3s-s1 cannot be made: node pve has no storage vmdata$/);
      assert.equal(error.why, "It has local, other");
      assert.ok(error.todo.includes("Set PM_STORAGE to one of them"));
      return true;
    },
  );
  await assert.rejects(
    refuseMissingPlaces(plan, has({ storages: ["vmdata"], bridges: [] })),
    /has no bridge vmbr0/,
  );
});
