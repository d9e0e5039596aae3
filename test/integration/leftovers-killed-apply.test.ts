import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { after, before, test } from "node:test";
import { TaskError } from "../../lib/errors.ts";
import { pollUntil } from "../../lib/poll.ts";
import { type Sandbox, sandboxDirectory, startSandbox } from "../../lib/sandbox/index.ts";
import { killAll, RUN_VARIABLE, startedBy } from "../kill/processes.ts";
import { PveApi } from "../support/pve.ts";
import { eventsOf, WorkingCopy } from "../support/working-copy.ts";

/** tf-apply, killed with its OpenTofu while it makes a VM: leftovers finds the VM by the journal, and removes it. */

const IMAGE = "alma9-k3-node-amd64-v1.35.6-v1";
const MARK = `killed-apply-${process.pid}`;
const { signal } = new AbortController();
const copy = new WorkingCopy();
let sandbox: Sandbox;
let pve: PveApi;

before(async () => {
  sandbox = await startSandbox({ dir: sandboxDirectory(copy.root) });
  pve = new PveApi(sandbox.endpoints);
  await pve.createTemplate(9000, IMAGE, { tags: "homelab;k3s;template" });
  // The VM is made, and OpenTofu waits for it to start.
  const match = "POST /nodes/*/qemu/*/status/start";
  sandbox.faults.set([{ where: "api", match, count: "always", effect: { delay: 600_000 } }]);
});

after(async () => {
  killAll(MARK);
  await sandbox?.stop();
  copy.remove();
});

interface Found {
  readonly kind: string;
  readonly name: string;
  readonly busy?: string;
}

async function leftovers(...flags: string[]): Promise<{ found: Found[]; removed: Found[] }> {
  const ended = await copy.task("leftovers", ["--sandbox", "--json", ...flags]);
  assert.equal(ended.exitCode, 0, ended.stderr);
  return eventsOf(ended).at(-1) as unknown as { found: Found[]; removed: Found[] };
}

/** Waits until a VM stands there of which the notes tell its run. @returns its number */
async function halfMade(running: () => string | undefined): Promise<number> {
  return await pollUntil(
    async () => {
      const ended = running();
      assert.equal(ended, undefined, ended);
      for (const { vmid } of (await pve.vms()).filter((vm) => vm.vmid !== 9000)) {
        const { description = "" } = await pve.config(vmid);
        if (/ by run [0-9a-f]{8} /.test(String(description))) return { value: vmid };
      }
      return { pending: "there is no such VM" };
    },
    { timeoutMs: 300_000, everyMs: 50, signal },
    (why) => new TaskError({ what: "No VM was made", why }),
  );
}

test("it is listed while OpenTofu is at work, and removed once that is dead, too", async () => {
  const words = ["--import", "tsx", "tasks/tf-apply.ts", "--sandbox", "--yes"];
  const env = copy.env({ [RUN_VARIABLE]: MARK, IMAGE_VERSION: IMAGE });
  const task = spawn(process.execPath, words, { cwd: copy.root, env, stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  task.stderr.on("data", (data: Buffer) => {
    said += data.toString();
  });
  const vmid = await halfMade(() => (task.exitCode === null ? undefined : `it has ended: ${said}`));
  const vm = { kind: "half-made VM", name: `VM ${vmid} (k3s-s1)` };
  const of = ({ kind, name }: Found): typeof vm => ({ kind, name }) as typeof vm;

  const atWork = await leftovers("--yes");
  assert.deepEqual(atWork.found.map(of), [vm]);
  assert.equal(atWork.found[0]?.busy, `process ${task.pid} is at it`);

  task.kill("SIGKILL");
  assert.notEqual(startedBy(MARK).length, 0, "OpenTofu goes on");
  const orphaned = await leftovers("--yes");
  assert.match(orphaned.found[0]?.busy ?? "", /^OpenTofu of a run that was killed is still at work/);
  assert.deepEqual([...atWork.removed, ...orphaned.removed], []);

  killAll(MARK);
  const listed = await leftovers();
  assert.deepEqual(listed.found.map(of), [vm]);
  assert.equal(listed.found[0]?.busy, undefined);
  const { removed } = await leftovers("--yes");
  assert.deepEqual(removed.map(of), [vm]);
  assert.deepEqual(
    (await pve.vms()).map((each) => each.vmid),
    [9000],
  );
});
