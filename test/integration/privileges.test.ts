import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { grants, missingPrivileges, NEEDS, ProxmoxApi, pathOf, releaseOf } from "../../lib/proxmox/index.ts";
import { type ApiServer, createDispatch, serveApi } from "../../lib/sandbox/api/index.ts";
import { emptyGuests } from "../../lib/sandbox/hooks.ts";
import { NAMES, sandboxPlan } from "../../lib/sandbox/seed.ts";
import { type AclEntry, openWorld, type Privilege, type World } from "../../lib/sandbox/world/index.ts";
import { minimalGrants } from "../support/contract/privileges.ts";
import { recordingsMissing } from "../support/contract/recordings.ts";

/** What the tasks need to be allowed, against what was measured, and what a token is found to lack of it. */

const SETTINGS = { PM_STORAGE: "vmdata", PM_ISO_STORAGE: "local", PM_BRIDGE: "vmbr0" };
const SECRET = "00000000-0000-4000-8000-000000000000";
const TOKEN = `${NAMES.user}!${NAMES.token}`;
const base = mkdtempSync(join(tmpdir(), "homelab-privileges-"));
after(() => rmSync(base, { recursive: true, force: true }));

describe("what the tasks need", { skip: recordingsMissing }, () => {
  test("is what was measured on a real node, by path", () => {
    const measured: Record<string, Set<string>> = {
      // Measured apart from the flows: starting a VM, its address, and listing what lies on a storage.
      "/vms": new Set(["VM.PowerMgmt", "VM.GuestAgent.Audit"]),
      "/storage/local": new Set(["Datastore.Audit"]),
    };
    for (const flow of ["i_tofu_create_plan_destroy", "ii_packer_proxmox_iso"] as const) {
      for (const [path, privileges] of Object.entries(minimalGrants(flow))) {
        measured[path] = new Set([...(measured[path] ?? []), ...privileges]);
      }
    }
    // The zone was given there; the node asks about the bridge in it.
    const wanted = Object.entries(measured).map(([path, privileges]) => [
      path === "/sdn/zones/localnetwork" ? `${path}/vmbr0` : path,
      [...privileges].sort(),
    ]);
    const ours = grants(9, SETTINGS, "Homelab").map(({ path, privileges }) => [path, privileges]);
    assert.deepEqual(Object.fromEntries(ours), Object.fromEntries(wanted));
  });
});

test("8 differs from 9 in the guest agent's privilege alone", () => {
  const [on8, on9] = ([8, 9] as const).map((release) =>
    grants(release, SETTINGS, "").flatMap(({ path, privileges }) =>
      privileges.map((one) => `${path} ${one}`),
    ),
  );
  assert.deepEqual(
    on8?.filter((one) => !on9?.includes(one)),
    ["/vms VM.Monitor"],
  );
  assert.deepEqual(
    on9?.filter((one) => !on8?.includes(one)),
    ["/vms VM.GuestAgent.Audit"],
  );
});

test("other releases are refused by their number", () => {
  assert.deepEqual([releaseOf("8.4.1"), releaseOf("9.2.11")], [8, 9]);
  for (const version of ["7.4-3", "10.0", "80.1", ""]) {
    assert.throws(() => releaseOf(version), { what: `Proxmox VE ${version} is not supported` });
  }
});

for (const release of [9, 8] as const) {
  describe(`a token of Proxmox VE ${release}`, () => {
    let world: World;
    let server: ApiServer;
    let api: ProxmoxApi;
    before(async () => {
      world = openWorld(join(base, String(release)), sandboxPlan(SECRET, release), { timeScale: 0 });
      server = await serveApi(world, createDispatch(world, emptyGuests));
      const { caFile } = server;
      api = new ProxmoxApi({
        url: new URL(server.url),
        tokenId: TOKEN,
        tokenSecret: SECRET,
        tls: { caFile },
      });
    });
    after(async () => {
      await api.close();
      await server.close();
      await world.tasks.close();
    });

    /** Ask with other roles, or other entries of the access control list, than a new sandbox has. */
    async function missingWith(change: {
      readonly roles?: Readonly<Record<string, readonly Privilege[]>>;
      readonly acl?: readonly AclEntry[];
    }): Promise<string[]> {
      const { customRoles, acl } = world.access;
      try {
        world.access.change({ ...change, roles: { ...customRoles, ...change.roles } });
        const missing = await missingPrivileges(api, SETTINGS);
        return missing.map(({ task, path, privilege }) => `${task}: ${privilege} on ${path}`);
      } finally {
        world.access.change({ roles: customRoles, acl });
      }
    }

    test("that has all lacks nothing", async () => {
      assert.deepEqual(await missingWith({}), []);
    });

    for (const { place, privilege: names, tasks } of NEEDS) {
      const privilege = names[release];
      const path = pathOf(place, SETTINGS);
      test(`without ${privilege} on ${path} is told so, for each task that needs it`, async () => {
        const roles = Object.entries(world.access.customRoles)
          .filter(([name]) =>
            world.access.acl.some((one) => one.roleid === name && path.startsWith(one.path)),
          )
          .map(([name, held]) => [name, held.filter((one) => one !== privilege)] as const);
        const missing = await missingWith({ roles: Object.fromEntries(roles) });
        assert.deepEqual(missing.sort(), tasks.map((task) => `${task}: ${privilege} on ${path}`).sort());
      });
    }

    test("whose user has it and which itself has not lacks it, and the other way round", async () => {
      for (const type of ["token", "user"] as const) {
        const acl = world.access.acl.filter((one) => one.type !== type || one.path !== "/storage/vmdata");
        const missing = await missingWith({ acl });
        assert.deepEqual(
          [...new Set(missing.map((line) => line.replace(/^.*: /, "")))],
          ["Datastore.AllocateSpace on /storage/vmdata", "Datastore.Audit on /storage/vmdata"],
        );
      }
    });

    test("whose rights on /vms hold for no VM below lacks them", async () => {
      const acl = world.access.acl.map((one) => ({ ...one, propagate: one.path !== "/vms" }));
      const missing = await missingWith({ acl });
      assert.ok(missing.includes("status: VM.Audit on /vms"), missing.join("\n"));
    });
  });
}
