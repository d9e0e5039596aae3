import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { enforce } from "../../lib/sandbox/permissions.ts";
import { AccessControl, type AclEntry, hashSecret } from "../../lib/sandbox/world/index.ts";

const dir = mkdtempSync(join(tmpdir(), "homelab-access-"));
after(() => rmSync(dir, { recursive: true, force: true }));

let files = 0;

/** Users "a@pve" (token "own" with rights of its own, token "same" with its user's) and the entries given. */
function accessWith(acl: readonly Omit<AclEntry, "propagate">[], propagate = true): AccessControl {
  files += 1;
  const secretHash = hashSecret("secret");
  return new AccessControl(join(dir, `${files}.json`), {
    users: [
      { userid: "root@pam", tokens: {} },
      {
        userid: "a@pve",
        tokens: { own: { privsep: true, secretHash }, same: { privsep: false, secretHash } },
      },
    ],
    roles: { Look: ["VM.Audit"], Push: ["VM.PowerMgmt"] },
    acl: acl.map((entry) => ({ ...entry, propagate })),
  });
}

const user = { user: "a@pve" };
const onVms: Omit<AclEntry, "propagate"> = { path: "/vms", type: "user", ugid: "a@pve", roleid: "Look" };

describe("privileges", () => {
  test("reach what lies below, where they propagate", () => {
    assert.ok(accessWith([onVms]).privileges(user, "/vms/100").has("VM.Audit"));
    assert.equal(accessWith([onVms], false).privileges(user, "/vms/100").size, 0);
    assert.ok(accessWith([onVms], false).privileges(user, "/vms").has("VM.Audit"));
  });

  test("nearer entries replace those further up", () => {
    const access = accessWith([onVms, { ...onVms, path: "/vms/100", roleid: "Push" }]);
    assert.deepEqual([...access.privileges(user, "/vms/100")], ["VM.PowerMgmt"]);
    assert.deepEqual([...access.privileges(user, "/vms/101")], ["VM.Audit"]);
  });

  test("NoAccess takes everything away", () => {
    const access = accessWith([onVms, { ...onVms, path: "/vms/100", roleid: "NoAccess" }]);
    assert.equal(access.privileges(user, "/vms/100").size, 0);
  });

  test("a separated token has what both it and its user have", () => {
    const token = { user: "a@pve", token: "own" };
    assert.equal(accessWith([onVms]).privileges(token, "/vms/100").size, 0);
    const both = [onVms, { ...onVms, type: "token" as const, ugid: "a@pve!own", roleid: "PVEVMAdmin" }];
    assert.deepEqual([...accessWith(both).privileges(token, "/vms/100")], ["VM.Audit"]);
  });

  test("a token without separation has its user's", () => {
    const token = { user: "a@pve", token: "same" };
    assert.deepEqual([...accessWith([onVms]).privileges(token, "/vms/100")], ["VM.Audit"]);
  });

  test("root has all of them", () => {
    assert.ok(accessWith([]).privileges({ user: "root@pam" }, "/").has("Permissions.Modify"));
  });
});

describe("tokens", () => {
  test("only the right secret of a token that exists is accepted", () => {
    const access = accessWith([]);
    assert.equal(access.verifyToken("a@pve", "own", "secret"), true);
    assert.equal(access.verifyToken("a@pve", "own", "Secret"), false);
    assert.equal(access.verifyToken("a@pve", "other", "secret"), false);
    assert.equal(access.verifyToken("nobody@pve", "own", "secret"), false);
  });
});

describe("enforce", () => {
  const guard = { access: accessWith([onVms]), caller: user };

  test("names the path and what is missing", () => {
    assert.throws(() => enforce(guard, ["perm", "/vms/{vmid}", ["VM.Audit", "VM.Clone"]], { vmid: "7" }), {
      status: 403,
      message: "Permission check failed (/vms/7, VM.Clone)",
    });
  });

  test("one of several is enough with any", () => {
    const check = ["perm", "/vms/{vmid}", ["VM.Clone", "VM.Audit"], "any", 1];
    assert.doesNotThrow(() => enforce(guard, check, { vmid: "7" }));
    assert.throws(() => enforce(guard, check.with(1, "/storage/x"), {}), {
      message: "Permission check failed (/storage/x, VM.Clone|VM.Audit)",
    });
  });

  test("does not say which alternative is missing", () => {
    const check = ["or", ["perm", "/a", ["VM.Clone"]], ["perm", "/b", ["VM.Clone"]]];
    assert.throws(() => enforce(guard, check, {}), { message: "Permission check failed" });
  });
});
