import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { TaskError } from "../../lib/errors.ts";
import { describePlan, type Plan, parsePlan } from "../../lib/tofu/index.ts";

/** Plans that OpenTofu 1.12.6 with bpg/proxmox 0.111.1 printed. */
function recorded(name: string): Plan {
  return parsePlan(text(name));
}

function text(name: string): string {
  return readFileSync(new URL(`../fixtures/tofu/${name}.json`, import.meta.url), "utf8");
}

test("a VM that is made shows its size, place, address and template", () => {
  const plan = recorded("create");
  assert.equal(plan.changes.length, 1);
  assert.deepEqual(plan.changes[0]?.after, {
    name: "k3s-s1",
    node: "pve",
    templateId: 9000,
    templateName: "alma9-k3-node-amd64-v1.28.5-v1",
    cores: 4,
    memory: 24576,
    disks: [{ slot: "scsi0", storage: "vmdata", gigabytes: 32 }],
    bridges: ["vmbr0"],
    addresses: ["10.23.45.31/24"],
  });
  assert.deepEqual(describePlan(plan), [
    "+ VM k3s-s1 will be made on pve",
    "    4 cores, 24576 MB of memory, disk scsi0 of 32 GB on vmdata",
    "    address 10.23.45.31/24 on vmbr0",
    "    from template alma9-k3-node-amd64-v1.28.5-v1 (9000)",
  ]);
});

test("a change lists the attributes that differ, and only those", () => {
  const [change] = recorded("update").changes;
  assert.equal(change?.action, "update");
  assert.deepEqual(change?.attributes, [
    { path: "cpu.cores", before: "4", after: "2", replaces: false },
    { path: "disk.size", before: "32", after: "40", replaces: false },
    { path: "memory.dedicated", before: "24576", after: "4096", replaces: false },
  ]);
});

test("a replacement says in capitals what is lost, and which attribute forces it", () => {
  const plan = recorded("replace-forced");
  assert.equal(plan.changes[0]?.action, "replace");
  assert.equal(plan.changes[0]?.before?.vmid, 100);
  assert.match(
    describePlan(plan)[0] ?? "",
    /VM k3s-s1 \(100 on pve\) will be REPLACED: everything on its disk is lost – initialization\.user_data_file_id cannot be changed/,
  );
});

test("a half-made VM is said to be one", () => {
  assert.match(
    describePlan(recorded("replace-tainted"))[0] ?? "",
    /REPLACED.*an earlier run made it only half/,
  );
});

test("a replacement on request takes the template that the settings name", () => {
  const [change] = recorded("replace-requested").changes;
  assert.equal(change?.reason, "replace_by_request");
  assert.equal(change?.before?.templateId, 9000);
  assert.equal(change?.after?.templateId, 9001);
});

test("a destruction names VM, id, disk and address", () => {
  assert.deepEqual(describePlan(recorded("destroy")), [
    "- VM k3s-s1 (100 on pve) will be DESTROYED: everything on its disk is lost",
    "    4 cores, 24576 MB of memory, disk scsi0 of 32 GB on vmdata",
    "    address 10.23.45.31/24 on vmbr0",
    "    from template alma9-k3-node-amd64-v1.28.5-v1 (9000)",
  ]);
});

test("a new template changes no VM", () => {
  const plan = recorded("outputs-only");
  assert.deepEqual(plan.changes, []);
  assert.equal(plan.resources.length, 1);
  assert.deepEqual(plan.outputs, ["template"]);
  assert.deepEqual(describePlan(plan), ["No resource changes; outputs are recorded anew: template"]);
});

test("secrets among a plan's variables are not taken over", () => {
  assert.match(text("create"), /11111111-2222-3333-4444-555555555555/);
  assert.doesNotMatch(JSON.stringify(recorded("create")), /11111111/);
});

test("secret attributes are compared, never shown", () => {
  const plan = parsePlan(
    JSON.stringify({
      format_version: "1.2",
      resource_changes: [
        {
          address: "x.y",
          mode: "managed",
          type: "x",
          change: {
            actions: ["update"],
            before: { password: "old-password", plain: [] },
            after: { password: "new-password", plain: null },
            before_sensitive: { password: true },
            after_sensitive: { password: true },
          },
        },
      ],
    }),
  );
  assert.deepEqual(plan.changes[0]?.attributes, [
    { path: "password", before: "(secret)", after: "(another secret)", replaces: false },
  ]);
});

test("a plan of another form is refused with what is missing", () => {
  assert.throws(
    () => parsePlan(JSON.stringify({ format_version: "2.0", resource_changes: [{ address: "x" }] })),
    (error) => error instanceof TaskError && /only plan format 1 is understood/.test(error.message),
  );
});
