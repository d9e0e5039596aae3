import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { type ImageMetadata, parseNotes } from "../../lib/proxmox/index.ts";
import { type Sandbox, startSandbox } from "../../lib/sandbox/index.ts";
import { sandboxSettings } from "../../lib/task/index.ts";
import { type Running, startCommand } from "../support/command-line.ts";
import { packerOf, standInPacker } from "../support/packer-on-node.ts";
import { runs } from "../support/processes.ts";
import { PveApi } from "../support/pve.ts";
import { refusalOf } from "../support/refusals.ts";
import { WorkingCopy } from "../support/working-copy.ts";

/**
 * build-image on the node, to its end and killed. Packer's plugin for Proxmox comes from its publisher's release alone: a
 * stand-in makes its calls (test/support/packer-stand-in.mjs). Everything else is real.
 */

const NAME = "alma9-k3-node-amd64-v1.35.6-v1";
const copy = new WorkingCopy();
const go = join(copy.home, "go");
const moments = join(copy.home, "moments");
const records = join(copy.root, ".homelab", "builds");
let sandbox: Sandbox;
let pve: PveApi;
let env: Record<string, string>;
/** Of an image that nothing has disturbed. */
let undisturbed: Record<string, unknown>;

before(async () => {
  const iso = join(copy.home, "installer.iso");
  writeFileSync(iso, "the installer");
  const sha256 = createHash("sha256").update("the installer").digest("hex");
  sandbox = await startSandbox({ dir: join(copy.home, "node") });
  pve = new PveApi(sandbox.endpoints);
  env = {
    ...(sandboxSettings(sandbox) as Record<string, string>),
    ...(await standInPacker(copy)),
    ALMA_ISO_URL: iso,
    ALMA_ISO_CHECKSUM: `sha256:${sha256}`,
    STAND_IN_GO: go,
    STAND_IN_MOMENTS: moments,
  };
});
after(async () => {
  await sandbox?.stop();
  copy.remove();
});
beforeEach(async () => {
  rmSync(go, { force: true });
  rmSync(moments, { force: true });
  rmSync(records, { recursive: true, force: true });
  for (const { vmid, status } of await pve.vms()) {
    if (status === "running") await pve.task("POST", `/nodes/pve/qemu/${vmid}/status/stop`);
    await pve.destroy(vmid);
  }
});

/** @param hold the moment at which Packer waits */
function begin(hold = ""): Running {
  return startCommand(
    process.execPath,
    ["--import", "tsx", join("tasks", "build-image.ts"), "--yes", "--json"],
    { cwd: copy.root, env: copy.env({ ...env, STAND_IN_HOLD: hold }) as Record<string, string> },
  );
}

/** Wait until Packer has come to a moment. */
async function packerAt(moment: string): Promise<void> {
  for (const deadline = Date.now() + 60_000; !passed().includes(moment); ) {
    assert.ok(Date.now() < deadline, `Packer did not come to "${moment}": ${passed()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function passed(): string[] {
  return existsSync(moments) ? readFileSync(moments, "utf8").split("\n") : [];
}

/** Start a build and kill the task once Packer has come to a moment, at which it waits. @returns Packer's process */
async function killed(moment: string): Promise<number> {
  const { child, ended } = begin(moment);
  await packerAt(moment);
  child.kill("SIGKILL");
  await ended;
  return packerOf(copy, NAME);
}

function end(group: number): void {
  process.kill(-group, "SIGKILL");
}

/** Run it to its end, which has to be a good one. */
async function again(): Promise<string> {
  const { code, stdout, stderr } = await begin().ended;
  assert.equal(code, 0, stderr);
  return stdout;
}

/** What is there in the end, without what differs from one VM to the next. */
async function endState(): Promise<Record<string, unknown>> {
  const vms = await pve.vms();
  assert.deepEqual(
    vms.map(({ name, template }) => [name, template]),
    [[NAME, 1]],
  );
  const { vmid = 0 } = vms[0] ?? {};
  const { digest, meta, smbios1, vmgenid, net0, description, ...config } = await pve.config(vmid);
  const metadata = parseNotes(String(description));
  assert.ok(metadata !== undefined, String(description));
  assert.ok(!existsSync(join(records, NAME, "run.json")), "the record of the build is still there");
  const { build_date, ...rest } = metadata;
  assert.ok(Math.abs(Date.now() - Date.parse(build_date)) < 600_000, build_date);
  return { ...config, metadata: { ...rest, template_id: vmid === rest.template_id } };
}

async function onlyVm(): Promise<{ vmid: number; status: string }> {
  const vms = await pve.vms();
  assert.equal(vms.length, 1);
  const [vm] = vms;
  assert.ok(vm !== undefined);
  return vm;
}

describe("build-image", () => {
  test("makes a template with its metadata, and takes the run's tag away", async () => {
    await again();
    undisturbed = await endState();
    assert.equal(undisturbed.tags, "alma9;amd64;homelab;k3s");
    const { k3s_version } = undisturbed.metadata as ImageMetadata;
    assert.equal(k3s_version, "v1.35.6+k3s1");
  });

  test("killed while Packer goes on, it waits for that one when it is run again", async () => {
    const packer = await killed("installing");
    const { vmid } = await onlyVm();
    const { ended, until } = begin();
    await until(new RegExp(`still builds the image ${NAME} \\(process ${packer}\\)`));
    assert.ok(runs(packer));
    writeFileSync(go, "");
    const { code, stderr } = await ended;
    assert.equal(code, 0, stderr);
    assert.equal((await onlyVm()).vmid, vmid, "it is what Packer has built");
    assert.deepEqual(await endState(), undisturbed);
  });

  test("killed before there is a VM, it does not build a second one beside", async () => {
    await killed("before the VM");
    const { ended, until } = begin();
    await until(/still builds the image/);
    writeFileSync(go, "");
    assert.equal((await ended).code, 0);
    assert.deepEqual(await endState(), undisturbed);
  });

  for (const moment of ["installing", "stopped", "template"]) {
    test(`killed with Packer (${moment}), it removes what was left, says so, and builds anew`, async () => {
      end(await killed(moment));
      const { vmid } = await onlyVm();
      const said = await again();
      assert.match(
        said,
        new RegExp(`Removed (VM|Template) ${vmid} \\(${NAME}, \\w+\\) of \\S+, which was left`),
      );
      assert.deepEqual(await endState(), undisturbed);
    });
  }

  for (const moment of ["finished", "manifest"]) {
    test(`killed with Packer behind its last call (${moment}), it writes the notes alone`, async () => {
      end(await killed(moment));
      const { vmid } = await onlyVm();
      rmSync(moments);
      await again();
      assert.equal((await onlyVm()).vmid, vmid);
      assert.deepEqual(passed(), [], "Packer was started again");
      assert.deepEqual(await endState(), undisturbed);
    });
  }

  test("finishes also a template of which nothing is known here, but what it says by itself", async () => {
    end(await killed("finished"));
    rmSync(records, { recursive: true, force: true });
    await again();
    assert.deepEqual(await endState(), undisturbed);
  });

  test("killed at its very end, it tells of what it has made", async () => {
    end(await killed("manifest"));
    const record = readFileSync(join(records, NAME, "run.json"));
    await again();
    writeFileSync(join(records, NAME, "run.json"), record);
    const said = await again();
    assert.match(said, /is finished: its build was interrupted at its very end/);
    assert.deepEqual(await endState(), undisturbed);
  });

  test("lets nobody else build the same at the same time", async () => {
    const { child, ended } = begin("installing");
    await packerAt("installing");
    const { what, why } = await refusalOf(copy, "build-image", ["--yes"], env);
    assert.equal(what, `The image ${NAME} is being built already`);
    assert.match(
      why,
      new RegExp(`Process ${child.pid} on this machine: homelab run [0-9a-f]{8} by \\S+ .* since `),
    );
    writeFileSync(go, "");
    assert.equal((await ended).code, 0);
  });

  test("leaves the VM of a build alone that it knows nothing of", async () => {
    const packer = await killed("installing");
    // As in another clone.
    rmSync(records, { recursive: true, force: true });
    const { vmid } = await onlyVm();
    const { what, why, left } = await refusalOf(copy, "build-image", ["--yes"], env);
    assert.equal(what, `VM ${vmid} (${NAME}) on pve may be a build that goes on`);
    assert.match(why, /^It runs, and is of run [0-9a-f]{8}, which this clone does not know/);
    assert.equal(left, "Nothing was changed");
    assert.equal((await onlyVm()).status, "running");
    end(packer);
  });

  test("removes nothing before all is at hand that Packer needs", async () => {
    end(await killed("installing"));
    const { what } = await refusalOf(copy, "build-image", ["--yes"], {
      ...env,
      HOMELAB_CACHE: join(copy.home, "empty-cache"),
    });
    assert.match(what, /^packer-plugin-proxmox .* is not to be had/);
    assert.equal((await onlyVm()).status, "running");
  });

  test("leaves a VM alone that somebody has begun to build in the meantime", async () => {
    end(await killed("installing"));
    const { vmid } = await onlyVm();
    // Between the question and the removal lies the search for tools, and for the release of k3s.
    const { ended, until } = begin();
    await until(/Find Packer/);
    await pve.call("PUT", `/nodes/pve/qemu/${vmid}/config`, { tags: "homelab;k3s;run-0badc0de" });
    const { code, stdout } = await ended;
    assert.equal(code, 1, stdout);
    assert.match(stdout, /is of run 0badc0de/);
    assert.equal((await onlyVm()).status, "running");
  });
});
