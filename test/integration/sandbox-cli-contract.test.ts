import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { createDispatch } from "../../lib/sandbox/api/index.ts";
import { networkInterfaces } from "../../lib/sandbox/guest/agent.ts";
import { type AgentCommand, emptyGuests, type GuestRuntime } from "../../lib/sandbox/hooks.ts";
import { nodePrograms } from "../../lib/sandbox/node/index.ts";
import { createQcow2, type World } from "../../lib/sandbox/world/index.ts";
import {
  normaliseOutput,
  type RecordedCommand,
  recordedCommands,
  recordedStream,
  runOn,
} from "../support/contract/cli.ts";
import { CLI_EXCEPTIONS } from "../support/contract/cli-exceptions.ts";
import { type Beginning, PACKER_GRANTS, recordedWorld, TINY } from "../support/contract/recorded-world.ts";
import { recordingsMissing } from "../support/contract/recordings.ts";

/** A sitting at the real node: what there was when it began, and the commands in their order. */
interface Sitting {
  readonly beginning: Beginning;
  readonly prepare?: (world: World) => Promise<void>;
  readonly commands: () => RecordedCommand[];
}

const GIB = 1024 ** 3;

/** Commands of a recording by their numbers; all of them without one. */
function of(name: string, from = 1, to = Number.POSITIVE_INFINITY): RecordedCommand[] {
  return recordedCommands(name).slice(from - 1, to);
}

/** The recordings have a file for each subject; these are the orders in which the commands were given. */
const SITTINGS: Readonly<Record<string, Sitting>> = {
  "a template with UEFI": {
    beginning: { stopped: [9000, 9001], running: [] },
    prepare: images,
    commands: () => [
      ...of("qm-create-uefi"),
      ...of("qm-set-import-from", 1, 1),
      ...of("qm-set-cloudinit", 1, 1),
      ...of("qm-set-boot", 1, 1),
      ...of("qm-template", 1, 1),
      ...of("qm-config"),
    ],
  },
  "looking at VMs": {
    beginning: { stopped: [9000, 9001, 9002], running: [131] },
    prepare: async (world) => {
      const disk = { scsi0: "vmdata:9100/base-9100-disk-0.qcow2,size=2G", boot: "order=scsi0" };
      world.vms.create(9100, { name: "alma9-k3-node-amd64-v1.28.5-v2", memory: "512", ...disk });
    },
    commands: () => [...of("qm-list-config-status"), ...of("qm-start-stop")],
  },
  "the API at the prompt": {
    beginning: { stopped: [9000, 9001, 9002], running: [131] },
    commands: () => of("pvesh"),
  },
  "the life of a VM": {
    beginning: { stopped: [9000, 9001, 9002], running: [131] },
    prepare: images,
    commands: () => [
      ...of("qm-create"),
      ...of("qm-importdisk", 1, 3),
      ...of("qm-importdisk-errors", 1, 9),
      ...of("qm-importdisk", 4),
      ...of("qm-importdisk-errors", 10, 10),
      recordedStream("qm-importdisk-stream"),
      ...of("qm-set-import-from", 2),
      ...of("qm-set-import-from-errors", 1, 5),
      ...of("qm-set-cloudinit", 2),
      ...of("qm-set-boot", 2),
      ...of("qm-set-misc"),
      ...of("qm-resize"),
      ...of("qm-cloudinit-dump"),
      ...of("qm-template", 2),
      ...of("qm-clone"),
      ...of("qm-destroy"),
      ...of("pvesm"),
    ],
  },
  "a storage that is full": {
    beginning: { stopped: [], running: [], storages: [TINY] },
    prepare: async (world) => {
      await images(world);
      world.vms.create(320, { name: "full" });
    },
    commands: () => [...of("qm-importdisk-errors", 11), ...of("qm-set-import-from-errors", 6)],
  },
  "users and rights": {
    beginning: { stopped: [], running: [], grants: PACKER_GRANTS },
    // A user of other recordings was not there.
    prepare: async ({ access }) => access.changeUser("none@pve", undefined),
    commands: () => [...of("pveum-role-list"), ...of("pveum")],
  },
  "the node's version": {
    beginning: { stopped: [], running: [] },
    commands: () => of("pveversion"),
  },
};

/** The files that the recordings' commands name. */
async function images({ files }: World): Promise<void> {
  const file = (path: string, content: string | Buffer = "", size?: number): void => {
    const host = files.toHost(path);
    mkdirSync(dirname(host), { recursive: true });
    writeFileSync(host, content);
    if (size !== undefined) truncateSync(host, size);
  };
  const key = "AAAAC3NzaC1lZDI1NTE5AAAAIBXRK5CLWFa1aUdkLZexzJI8jAi4sGANxV0HLVdf7jrI";
  file("/srv/lab/k.pub", `ssh-ed25519 ${key} lab\n`);
  file("/srv/rec/cli-corrupt.qcow2", "no image ".repeat(1000), 5120);
  file(
    "/srv/rec/cli-badhdr.qcow2",
    Buffer.concat([Buffer.from("514649fb00000003", "hex"), Buffer.alloc(600)]),
  );
  file("/var/lib/vz/template/iso/packer1359858647.iso", "", 376_832);
  file("/var/lib/vz/template/iso/packer2816765826.iso", "", 376_832);
  file("/srv/rec/rnd.raw", Buffer.alloc(20_000_000, "x"));
  await createQcow2(files.toHost("/srv/lab/guest.qcow2"), 2 * GIB);
  await createQcow2(files.toHost("/srv/lab/disk.qcow2"), GIB);
  await createQcow2(files.toHost("/srv/rec/cli-trunc.qcow2"), GIB);
  truncateSync(files.toHost("/srv/rec/cli-trunc.qcow2"), 70_000);
}

/** The recorded guest, whose agent answers. */
const guests: GuestRuntime = {
  ...emptyGuests,
  agent: async (_vm, { name }: AgentCommand) =>
    name === "ping"
      ? {}
      : networkInterfaces({ mac: "BC:24:11:C4:CC:54", address: "10.23.45.31", prefix: 24 }),
};

function differences(recorded: RecordedCommand, ours: Awaited<ReturnType<typeof runOn>>): string[] {
  return (["exit", "stdout", "stderr"] as const).flatMap((what) => {
    const [theirs, mine] = [recorded[what], ours[what]].map((value) => normaliseOutput(String(value)));
    return theirs === mine
      ? []
      : [`  ${what}\n    recorded ${JSON.stringify(theirs)}\n    ours     ${JSON.stringify(mine)}`];
  });
}

/** Run the commands one after another; what is said differently, by command. */
async function sit(dir: string, { beginning, prepare, commands }: Sitting): Promise<string[]> {
  const world = await recordedWorld(dir, beginning, 0);
  await prepare?.(world);
  const context = { world, dispatch: createDispatch(world, guests), log: () => {} };
  const programs = nodePrograms(context);
  const complaints: string[] = [];
  for (const recorded of commands()) {
    const { differs } = CLI_EXCEPTIONS[recorded.id] ?? {};
    const found = differences(recorded, await runOn(world.files, programs, recorded.line));
    const head = `${recorded.id} $ ${recorded.line}`;
    if (differs === undefined && found.length > 0) complaints.push([head, ...found].join("\n"));
    if (differs !== undefined && found.length === 0)
      complaints.push(`${head}\n  is the same, though: ${differs}`);
  }
  await world.tasks.close();
  return complaints;
}

describe("the node's commands say what a real node's said", { skip: recordingsMissing }, () => {
  for (const [name, sitting] of Object.entries(SITTINGS)) {
    test(name, async () => {
      const dir = mkdtempSync(join(tmpdir(), "homelab-cli-"));
      try {
        assert.equal((await sit(dir, sitting)).join("\n"), "");
      } finally {
        rmSync(dir, { recursive: true, force: true });
      }
    });
  }

  test("each exception names a command of the recordings", () => {
    const ids = new Set(Object.values(SITTINGS).flatMap(({ commands }) => commands().map(({ id }) => id)));
    assert.deepEqual(
      Object.keys(CLI_EXCEPTIONS).filter((id) => !ids.has(id)),
      [],
    );
  });
});
