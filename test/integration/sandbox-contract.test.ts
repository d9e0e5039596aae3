import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { faultControl } from "../../lib/sandbox/faults/index.ts";
import { sandboxPlan } from "../../lib/sandbox/seed.ts";
import { isPrivilege, type Privilege, type World } from "../../lib/sandbox/world/index.ts";
import { EXCEPTIONS } from "../support/contract/exceptions.ts";
import { type MeasuredFlow, measuredRefusals, minimalGrants } from "../support/contract/privileges.ts";
import {
  type Beginning,
  grant,
  PACKER_GRANTS,
  recordedWorld,
  TINY,
} from "../support/contract/recorded-world.ts";
import { type Exchange, recordedFlow, recordingsMissing } from "../support/contract/recordings.ts";
import { type ReplayOptions, replay } from "../support/contract/replay.ts";

const TEMPLATES = [9000, 9001, 9002];

/** The recorded flows, each with the VMs that there were when it began. */
const FLOWS: Readonly<Record<string, Beginning>> = {
  "tofu-create": { stopped: TEMPLATES, running: [] },
  "tofu-create-started": { stopped: TEMPLATES, running: [] },
  "tofu-create-started-no-guestagent-audit": { stopped: TEMPLATES, running: [] },
  "tofu-create-start-fails": { stopped: TEMPLATES, running: [131] },
  "tofu-plan-nochange": { stopped: TEMPLATES, running: [], unseen: [100] },
  "tofu-plan-nochange-started": { stopped: TEMPLATES, running: [131] },
  "tofu-destroy": { stopped: [100, ...TEMPLATES], running: [] },
  "tofu-destroy-started": { stopped: TEMPLATES, running: [131] },
  "packer-proxmox-iso": { stopped: TEMPLATES, running: [], grants: PACKER_GRANTS },
  "packer-proxmox-iso-missing-console": { stopped: TEMPLATES, running: [] },
  "privileges-content": {
    stopped: TEMPLATES,
    running: [131],
    files: {
      "/var/lib/vz/template/iso/packer1359858647.iso": 376_832,
      "/var/lib/vz/template/iso/packer2816765826.iso": 376_832,
    },
  },
  reads: { stopped: TEMPLATES, running: [131] },
  errors: { stopped: TEMPLATES, running: [131], storages: [TINY] },
};

/** What happened on the real node between two requests without one. */
const BY_HAND: Readonly<Record<string, NonNullable<ReplayOptions["before"]>>> = {
  "tofu-create-started-no-guestagent-audit": { 20: (world) => world.statistics.gather() },
  errors: {
    116: (world) => setLock(world, "backup"),
    128: (world) => setLock(world, undefined),
    164: ({ dir }) =>
      faultControl(dir).set([
        { where: "task", match: "qmstart 171", effect: { fail: "start failed: QEMU exited with code 1" } },
      ]),
    168: ({ dir }) => faultControl(dir).clear(),
    // The recorded guests had something on their disks.
    203: (world) => {
      for (const volid of ["vmdata:131/vm-131-disk-0.qcow2", "vmdata:9001/base-9001-disk-0.qcow2"]) {
        appendFileSync(world.storages.locate(volid).hostPath, Buffer.alloc(16 * 1024 ** 2, "x"));
      }
    },
    // Without KVM the VM that was to start at once stayed off.
    189: async (world) => {
      await Promise.all(world.tasks.list().map(async ({ upid }) => await world.tasks.finished(upid)));
      world.vms.update(173, { running: undefined });
    },
  },
};

/** How much of a flow has to be replayed, where it is not all of it; see the exceptions for what is missing. */
const SHARES: Readonly<Record<string, number>> = { errors: 0.99, reads: 0.93 };

function setLock(world: World, lock: string | undefined): void {
  const vm = world.vms.get(171);
  assert.ok(vm);
  const { lock: _, ...config } = vm.config;
  world.vms.update(171, { config: lock === undefined ? config : { ...config, lock } });
}

/** The recording about storages notes what rectest may there, exchange by exchange. */
function byNotes(exchanges: readonly Exchange[]): NonNullable<ReplayOptions["before"]> {
  const roles = exchanges.flatMap(({ seq, note = "" }) => {
    const role = /^(?:role on \/storage\/local:|use of an ISO with \/storage\/local) (?<names>\S*?);? /.exec(
      `${note.replace("Allocate+AllocateTemplate", "Datastore.Allocate")} `,
    );
    const names = note.endsWith("no right on /storage/local") ? "" : role?.groups?.names;
    if (names === undefined) return [];
    const privileges = names.replace(/;$/, "").split(",").filter(isPrivilege);
    return [[seq, (world: World) => grant(world, "/storage/local", privileges)] as const];
  });
  return {
    ...Object.fromEntries(roles),
    // A VM that the recording made was destroyed between two requests.
    108: async (world) => {
      await Promise.all(world.tasks.list().map(async ({ upid }) => await world.tasks.finished(upid)));
      world.vms.remove(176);
    },
  };
}

/** A fresh world equal to the recordings', which goes when the test does. */
async function inWorld(
  beginning: Beginning,
  timeScale: number,
  use: (world: World) => Promise<void>,
): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), "homelab-contract-"));
  try {
    await use(await recordedWorld(dir, beginning, timeScale));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

describe("the sandbox answers as a real node did", { skip: recordingsMissing }, () => {
  for (const [flow, beginning] of Object.entries(FLOWS)) {
    test(flow, async () => {
      await inWorld(beginning, flow === "reads" ? 0.2 : 0.02, async (world) => {
        const exchanges = recordedFlow(flow);
        const before = flow === "privileges-content" ? byNotes(exchanges) : BY_HAND[flow];
        const result = await replay(world, exchanges, {
          exceptions: EXCEPTIONS[flow] ?? {},
          ...(before === undefined ? {} : { before }),
        });
        assert.equal(result.differences.join("\n"), "");
        const share = result.replayed / (result.replayed + result.skipped);
        const wanted = SHARES[flow] ?? 1;
        assert.ok(share >= wanted, `only ${(share * 100).toFixed(1)} % of ${flow} is replayed`);
      });
    });
  }
});

/** A call that the flow makes when its VM has an EFI disk and an agent, which the recorded one had not in full. */
const FURTHER: readonly Pick<Exchange, "method" | "path">[] = [
  { method: "GET", path: "/api2/json/nodes/vm/storage/vmdata/content/vmdata:150%2Fvm-150-disk-0.qcow2" },
];

/** The flows whose privileges were measured, with what they began with. */
const MEASURED: Readonly<
  Record<string, { readonly flow: MeasuredFlow; readonly beginning: Beginning; readonly recording: string }>
> = {
  "OpenTofu's": {
    flow: "a+c",
    beginning: { stopped: TEMPLATES, running: [131] },
    recording: "tofu-create-start-fails",
  },
  "Packer's": {
    flow: "d",
    beginning: FLOWS["packer-proxmox-iso"] as Beginning,
    recording: "packer-proxmox-iso",
  },
};

/** Of the volume with the kickstart, which is called differently in each run. */
function withoutRun(text: string | undefined): string | undefined {
  return text?.replace(/packer\d+\.iso/, "packer.iso");
}

for (const [whose, { flow, beginning, recording }] of Object.entries(MEASURED)) {
  describe(`a privilege missing from ${whose} flow is refused where a real node refused it`, {
    skip: recordingsMissing,
    concurrency: 4,
  }, () => {
    const exchanges = recordingsMissing === false ? recordedFlow(recording) : [];
    const [pattern] = exchanges;
    const further =
      pattern === undefined || flow !== "a+c"
        ? []
        : FURTHER.map((call) => ({ ...pattern, ...call, query: null }));

    for (const { privilege, path, refusal } of recordingsMissing === false ? measuredRefusals(flow) : []) {
      // What shows in the flow's effect and not in a call cannot be seen in a replay.
      if (refusal === undefined && flow === "a+c") continue;
      test(`${privilege} on ${path}`, async () => {
        await inWorld(beginning, 0, async (world) => {
          const held = world.access.roles[`RT${path.replaceAll("/", "-")}`] ?? [];
          grant(
            world,
            path,
            held.filter((one) => one !== privilege),
          );
          const options = { exceptions: {}, untilRefused: true };
          const { refusals } = await replay(world, [...exchanges, ...further], options);
          assert.equal(withoutRun(refusals[0]), withoutRun(refusal));
        });
      });
    }
  });
}

describe("the measured minimum of privileges", { skip: recordingsMissing }, () => {
  test("is enough for Packer's flow", async () => {
    const grants = minimalGrants("ii_packer_proxmox_iso");
    await inWorld({ stopped: TEMPLATES, running: [], grants }, 0, async (world) => {
      const { refusals } = await replay(world, recordedFlow("packer-proxmox-iso"), { exceptions: {} });
      assert.deepEqual(refusals, []);
    });
  });

  test("is what the sandbox's token has", () => {
    const { access } = sandboxPlan("secret");
    const has = access.acl
      .filter(({ type }) => type === "token")
      .map(({ path, roleid }) => [path, [...(access.roles[roleid] ?? [])].sort()] as const);
    const measured: Record<string, Set<Privilege>> = {
      // To start a VM and to read its address, and to look for an ISO that is there already.
      "/vms": new Set(["VM.PowerMgmt", "VM.GuestAgent.Audit"]),
      "/storage/local": new Set(["Datastore.Audit"]),
    };
    for (const flow of ["i_tofu_create_plan_destroy", "ii_packer_proxmox_iso"] as const) {
      for (const [path, privileges] of Object.entries(minimalGrants(flow))) {
        measured[path] = new Set([...(measured[path] ?? []), ...privileges]);
      }
    }
    // The zone was given there; a node asks about the bridge in it.
    const wanted = Object.entries(measured).map(([path, privileges]) => [
      path === "/sdn/zones/localnetwork" ? `${path}/vmbr0` : path,
      [...privileges].sort(),
    ]);
    assert.deepEqual(Object.fromEntries(has), Object.fromEntries(wanted));
  });
});
