import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { TaskError } from "../../lib/errors.ts";
import { parsePackerLine } from "../../lib/packer/events.ts";
import { buildPhases, findQemu } from "../../lib/packer/index.ts";
import { BuildProgress } from "../../lib/packer/phases.ts";
import { doubtsAbout, inNetwork } from "../../lib/packer/way-back.ts";
import { ROOT } from "../../lib/task/index.ts";
import { IMAGE_STEPS } from "../../tasks/image-build/packer.ts";

describe("Packer's machine-readable lines", () => {
  for (const [line, event] of [
    ["1,,ui,say,==> qemu.image: Waiting 10s for boot...", { kind: "say", text: "Waiting 10s for boot..." }],
    ["1,,ui,message,    qemu.image: one%!(PACKER_COMMA) two", { kind: "message", text: "one, two" }],
    ["1,,ui,error,==> qemu.image: it broke\\nhere", { kind: "error", text: "it broke\nhere" }],
    ["1,qemu.image,artifact,0,id,VM", { kind: "artifact", key: "id", value: "VM" }],
    ["1,,version,1.15.0", undefined],
    ["not a line of it", undefined],
  ] as const) {
    test(line, () => assert.deepEqual(parsePackerLine(line), event));
  }
});

describe("the phases of a build", () => {
  const scripts = [
    { name: "os-update", title: "Update" },
    { name: "verify", title: "Check" },
  ];
  const phases = buildPhases(scripts, "Write the qcow2");
  const say = (text: string) => ({ kind: "say", text }) as const;

  test("end one after the other, by what Packer and the scripts say", async () => {
    const progress = new BuildProgress(phases);
    const seen: string[] = [];
    const at = (): string => {
      seen.push(progress.current);
      return progress.current;
    };
    at();
    progress.feed(say("Waiting 10s for boot..."));
    at();
    progress.feed(say("Using SSH communicator to connect: 127.0.0.1"));
    at();
    progress.feed(say("Connected to SSH!"));
    at();
    progress.feed({ kind: "message", text: "homelab-step: os-update: begin" });
    progress.feed({ kind: "message", text: "homelab-step: os-update: done" });
    at();
    progress.feed({ kind: "message", text: "homelab-step: verify: done" });
    at();
    progress.finish();
    assert.deepEqual(
      seen,
      phases.map(({ title }) => title),
    );
    for (const index of phases.keys()) await progress.untilEndOf(index, () => {});
  });

  test("that Packer passes over are over", async () => {
    const progress = new BuildProgress(phases);
    progress.feed(say("Connected to SSH!"));
    assert.equal(progress.current, "Update");
    await progress.untilEndOf(0, () => {});
  });

  test("hand on the latest words to whoever waits", async () => {
    const progress = new BuildProgress(phases);
    const lines: string[] = [];
    const first = progress.untilEndOf(0, (line) => lines.push(line));
    progress.feed(say("Creating the disk"));
    progress.feed(say("Waiting 10s for boot..."));
    await first;
    assert.deepEqual(lines, ["Creating the disk"]);
  });

  test("fail where the build fails, not before and not after", async () => {
    const progress = new BuildProgress(phases);
    progress.feed(say("Connected to SSH!"));
    progress.fail(new Error("it broke"));
    await progress.untilEndOf(2, () => {});
    await assert.rejects(
      progress.untilEndOf(3, () => {}),
      /it broke/,
    );
  });
});

describe("the way back to this machine", () => {
  test("is doubted where the installer cannot go it", () => {
    assert.match(doubtsAbout("127.0.0.1", undefined) ?? "", /loopback/);
    assert.match(doubtsAbout("192.168.1.5", "10.23.45.99/24") ?? "", /not on the VM's network/);
    assert.equal(doubtsAbout("10.23.45.5", "10.23.45.99/24"), undefined);
    assert.equal(doubtsAbout("192.168.1.5", undefined), undefined);
  });

  test("networks are compared by their prefix", () => {
    assert.equal(inNetwork("10.23.45.130", "10.23.45.129/25"), true);
    assert.equal(inNetwork("10.23.45.127", "10.23.45.129/25"), false);
    assert.equal(inNetwork("255.255.255.255", "255.255.255.254/31"), true);
  });
});

test("the phases are the provisioners of the HCL, in its order", () => {
  const hcl = readFileSync(join(ROOT, "packer", "common.pkr.hcl"), "utf8");
  const [, list = ""] = /^ {2}steps = \[(.*)\]$/m.exec(hcl) ?? [];
  assert.deepEqual(
    IMAGE_STEPS.map(({ name }) => name),
    [...list.matchAll(/"([^"]+)"/g)].map(([, name]) => name).concat("verify"),
  );
});

test("what QEMU cannot do is refused with what to do instead", async () => {
  await assert.rejects(findQemu("arm64", "bios"), (error: unknown) => {
    assert.ok(error instanceof TaskError);
    assert.equal(error.what, "There is no BIOS for arm64");
    return true;
  });
});
