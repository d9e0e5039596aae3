import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, describe, test } from "node:test";
import { loadSettings } from "../../lib/config/index.ts";
import { runSteps } from "../../lib/task/run.ts";
import { qemuSteps } from "../../tasks/image-build/in-qemu.ts";
import { type Build, IMAGE_USES, inputsOf, recordOf } from "../../tasks/image-build/packer.ts";
import { startCommand } from "../support/command-line.ts";

/** What a run finds that was killed while it built in a local QEMU, or behind that: test/integration/image-build.test.ts builds. */

const NAME = "alma9-k3-node-amd64-v1.35.6-v1";
const root = mkdtempSync(join(tmpdir(), "build-here-"));
const output = join(root, "packer", "alma9-k3s-optimized", "qemu", "output", NAME);
const image = join(output, `${NAME}.qcow2`);
const logs = join(root, ".homelab", "builds", NAME);
const build: Build = {
  root,
  name: NAME,
  settings: await loadSettings([], IMAGE_USES, []),
  keepOnError: false,
};

after(() => rmSync(root, { recursive: true, force: true }));
beforeEach(() => {
  rmSync(join(root, ".homelab"), { recursive: true, force: true });
  mkdirSync(output, { recursive: true });
  mkdirSync(logs, { recursive: true });
  writeFileSync(join(root, "packer", "common.pkr.hcl"), "# as it was built from");
  writeFileSync(image, "an image");
});

/** As Packer's post-processor writes it. */
function manifest(size: number, builtAt = Date.now()): void {
  const [run] = ["6f1cbb54-3d5e-4f0a-9c55-000000000001"];
  const entry = { build_time: Math.floor(builtAt / 1000), artifact_id: "VM", packer_run_uuid: run };
  const builds = [{ ...entry, files: [{ name: image, size }] }];
  writeFileSync(join(logs, "manifest.json"), JSON.stringify({ builds, last_run_uuid: run }));
}

/** Everything up to Packer. @returns the file, where there is one to go on with, and what was said and asked */
async function begin(told = (): void => {}): Promise<{ isUsed: boolean; notes: string[] }> {
  const notes: string[] = [];
  const all = qemuSteps(build, () => {});
  const [room] = all.filter(({ title }) => title === "Make room for the image");
  assert.ok(room !== undefined);
  const reporter = {
    drawsList: false,
    step: () => {},
    output: () => {},
    note: (line: string) => {
      notes.push(line);
      told();
    },
  };
  await runSteps([room], { reporter, signal: new AbortController().signal, yes: true });
  const packer = all.find(({ title }) => title === "Find Packer and what it needs");
  return { isUsed: (await packer?.skip?.()) !== false, notes };
}

describe("an image that a killed run has built here", () => {
  test("is used when it is whole, and made from what it would be made from now", async () => {
    recordOf(build).begin(await inputsOf(build));
    manifest(8);
    const { isUsed, notes } = await begin();
    assert.ok(isUsed);
    assert.match(notes.join("\n"), /is what an interrupted run has built from the same files; it is used/);
    assert.ok(existsSync(image));
  });

  for (const [what, spoil] of [
    [
      "its script or settings have changed",
      () => writeFileSync(join(root, "packer", "common.pkr.hcl"), "# new"),
    ],
    ["it is not whole", () => writeFileSync(image, "an im")],
    ["its manifest is that of an earlier build", () => manifest(8, Date.now() - 3_600_000)],
    ["its task came to its end", () => recordOf(build).end()],
  ] as const) {
    test(`is not when ${what}; and stays until Packer is at hand`, async () => {
      recordOf(build).begin(await inputsOf(build));
      manifest(8);
      spoil();
      assert.equal((await begin()).isUsed, false);
      assert.ok(existsSync(image));
    });
  }

  test("is waited for while Packer is at it", async () => {
    const packer = startCommand(process.execPath, ["-e", "process.stdin.resume()"]);
    const record = recordOf(build);
    record.begin(await inputsOf(build));
    assert.ok(packer.child.pid !== undefined);
    record.packerRuns(packer.child.pid);
    let told = (): void => {};
    const saysSo = new Promise<void>((resolve) => {
      told = resolve;
    });
    const began = begin(told);
    await Promise.race([saysSo, began]);
    manifest(8);
    packer.child.kill();
    const { notes, isUsed } = await began;
    assert.match(notes[0] ?? "", new RegExp(`still builds .* \\(process ${packer.child.pid}\\)`));
    assert.ok(isUsed);
  });
});
