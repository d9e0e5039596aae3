import { createHash, randomFillSync } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSparseQcow2 } from "../lib/proxmox/index.ts";
import { startSandbox } from "../lib/sandbox/index.ts";
import { sandboxSettings } from "../lib/task/index.ts";
import { measure, median } from "./measure.ts";

const BYTES = 2 * 1024 ** 3;
const PAIRS = 3;

/** upload-image of 2 GiB beside scp of the same file to the same server. */
export async function upload(): Promise<string[]> {
  const dir = mkdtempSync(join(tmpdir(), "homelab-bench-"));
  const image = join(dir, "image.qcow2");
  await makeImage(image);
  const sandbox = await startSandbox({ dir: join(dir, "sandbox") });
  try {
    const { sshConfigFile, sshPort, sshUser, sshHost } = sandbox.endpoints;
    const env = { ...process.env, ...sandboxSettings(sandbox) };
    const task: number[] = [];
    const scp: number[] = [];
    let peak = 0;
    for (let pair = 1; pair <= PAIRS; pair += 1) {
      const name = `alma9-k3-node-amd64-v1.35.6-v${pair}`;
      const args = ["--import", "tsx", "tasks/upload-image.ts", image, name, "--json"];
      const run = await measure(process.execPath, args, env);
      peak = Math.max(peak, run.peakBytes);
      task.push(BYTES / stepSeconds(run.stdout, "Send the image"));
      const target = `${sshUser}@${sshHost}:/var/tmp/by-scp.qcow2`;
      const copy = await measure("scp", ["-q", "-F", sshConfigFile, "-P", String(sshPort), image, target]);
      scp.push(BYTES / copy.seconds);
    }
    const mib = (bytes: number): string => `${Math.round(bytes / 1024 ** 2)} MiB`;
    return [
      `tasks/upload-image.ts, a full image of 2 GiB   ${mib(median(task))}/s while sending, median of ${PAIRS}`,
      `scp of the same file to the same server        ${mib(median(scp))}/s, median of ${PAIRS}`,
      `rate beside scp                                ${(median(task) / median(scp)).toFixed(2)}`,
      `the task's peak memory                         ${mib(peak)} (under 150 MiB)`,
    ];
  } finally {
    await sandbox.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

/** A valid qcow2 whose file has 2 GiB that do not compress: its unused tail stands for data. */
async function makeImage(file: string): Promise<void> {
  await createSparseQcow2(file, BYTES);
  const handle = await open(file, "a");
  const { size } = await handle.stat();
  const block = randomFillSync(Buffer.alloc(4 * 1024 ** 2));
  for (let left = BYTES - size; left > 0; left -= block.length) {
    // Another block each time, without the cost of random numbers for all of it.
    createHash("sha256").update(block).digest().copy(block);
    await handle.write(block, 0, Math.min(left, block.length));
  }
  await handle.close();
}

function stepSeconds(events: string, title: string): number {
  const lines = events.split("\n").filter((line) => line !== "");
  const all = lines.map((line) => JSON.parse(line) as { title?: string; state?: string; ms?: number });
  return (all.find((event) => event.title === title && event.state === "done")?.ms ?? 0) / 1000;
}
