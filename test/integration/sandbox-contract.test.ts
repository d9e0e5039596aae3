import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { EXCEPTIONS } from "../support/contract/exceptions.ts";
import { measuredRefusals } from "../support/contract/privileges.ts";
import { type Beginning, recordedWorld } from "../support/contract/recorded-world.ts";
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
  reads: { stopped: TEMPLATES, running: [131] },
  errors: { stopped: TEMPLATES, running: [131] },
};

/** What happened on the real node between two requests without one. */
const BY_HAND: Readonly<Record<string, NonNullable<ReplayOptions["before"]>>> = {
  "tofu-create-started-no-guestagent-audit": { 20: (world) => world.statistics.gather() },
  errors: {
    116: (world) => setLock(world, "backup"),
    128: (world) => setLock(world, undefined),
    // Without KVM the VM that was to start at once stayed off.
    189: async (world) => {
      await Promise.all(world.tasks.list().map(async ({ upid }) => await world.tasks.finished(upid)));
      world.vms.update(173, { running: undefined });
    },
  },
};

/** How much of a flow has to be replayed, where it is not all of it; see the exceptions for what is missing. */
const SHARES: Readonly<Record<string, number>> = { errors: 0.88, reads: 0.89 };

function setLock(
  world: Parameters<NonNullable<ReplayOptions["before"]>[number]>[0],
  lock: string | undefined,
): void {
  const vm = world.vms.get(171);
  assert.ok(vm);
  const { lock: _, ...config } = vm.config;
  world.vms.update(171, { config: lock === undefined ? config : { ...config, lock } });
}

describe("the sandbox answers as a real node did", { skip: recordingsMissing }, () => {
  for (const [flow, beginning] of Object.entries(FLOWS)) {
    test(flow, async () => {
      const dir = mkdtempSync(join(tmpdir(), "homelab-contract-"));
      try {
        const world = await recordedWorld(dir, beginning, flow === "reads" ? 0.2 : 0.02);
        const before = BY_HAND[flow];
        const result = await replay(world, recordedFlow(flow), {
          exceptions: EXCEPTIONS[flow] ?? {},
          ...(before === undefined ? {} : { before }),
        });
        assert.equal(result.differences.join("\n"), "");
        const share = result.replayed / (result.replayed + result.skipped);
        const wanted = SHARES[flow] ?? 1;
        assert.ok(share >= wanted, `only ${(share * 100).toFixed(1)} % of ${flow} is replayed`);
      } finally {
        rmSync(dir, { recursive: true, force: true });
      }
    });
  }
});

/** A call that the flow makes when its VM has an EFI disk and an agent, which the recorded one had not in full. */
const FURTHER: readonly Pick<Exchange, "method" | "path">[] = [
  { method: "GET", path: "/api2/json/nodes/vm/storage/vmdata/content/vmdata:150%2Fvm-150-disk-0.qcow2" },
];

describe("a missing privilege is refused where a real node refused it", { skip: recordingsMissing }, () => {
  const flow = recordingsMissing === false ? recordedFlow("tofu-create-start-fails") : [];
  const pattern = flow[0];
  const calls =
    pattern === undefined ? [] : [...flow, ...FURTHER.map((call) => ({ ...pattern, ...call, query: null }))];

  for (const { privilege, path, call, reason } of recordingsMissing === false ? measuredRefusals() : []) {
    test(`${privilege} on ${path}`, async () => {
      const dir = mkdtempSync(join(tmpdir(), "homelab-privilege-"));
      try {
        const world = await recordedWorld(dir, { stopped: TEMPLATES, running: [131] }, 0);
        const { roles } = world.access;
        const role = `RT${path.replaceAll("/", "-")}`;
        const left = (roles[role] ?? []).filter((one) => one !== privilege);
        world.access.change({ roles: { ...roles, [role]: left } });
        const { refusals } = await replay(world, calls, { exceptions: {} });
        assert.equal(refusals[0], `${call}: ${reason}`);
      } finally {
        rmSync(dir, { recursive: true, force: true });
      }
    });
  }
});
