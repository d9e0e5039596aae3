import { createHash, randomFillSync } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSparseQcow2 } from "../lib/proxmox/index.ts";
import { type Sandbox, startSandbox } from "../lib/sandbox/index.ts";
import { sandboxSettings } from "../lib/task/index.ts";
import { measure, median } from "./measure.ts";

const BYTES = 2 * 1024 ** 3;
/** Zeros lie in the image in stretches of this many bytes, as a filesystem leaves them. */
const STRETCH = 64 * 1024 ** 2;
const PAIRS = 3;

/** upload-image of 2 GiB beside scp of the same file to the same server: a full image, and one that is half empty. */
export async function upload(): Promise<string[]> {
  const dir = mkdtempSync(join(tmpdir(), "homelab-bench-"));
  const sandbox = await startSandbox({ dir: join(dir, "sandbox") });
  try {
    return [...(await compare(dir, sandbox, "full", 1)), ...(await compare(dir, sandbox, "half empty", 2))];
  } finally {
    await sandbox.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

async function compare(dir: string, sandbox: Sandbox, what: string, every: number): Promise<string[]> {
  const image = join(dir, "image.qcow2");
  await makeImage(image, every);
  const { sshConfigFile, sshPort, sshUser, sshHost } = sandbox.endpoints;
  const env = { ...process.env, ...sandboxSettings(sandbox) };
  const sending: number[] = [];
  const whole: number[] = [];
  const scp: number[] = [];
  let peak = 0;
  for (let pair = 1; pair <= PAIRS; pair += 1) {
    const name = `alma9-k3-node-amd64-v1.35.6-v${every}${pair}`;
    const args = ["--import", "tsx", "tasks/upload-image.ts", image, name, "--json"];
    const run = await measure(process.execPath, args, env);
    peak = Math.max(peak, run.peakBytes);
    const send = stepSeconds(run.stdout, "Send the image");
    sending.push(BYTES / send);
    // Its checksum and its zeros are looked for before anything is sent.
    whole.push(BYTES / (send + stepSeconds(run.stdout, `Check ${image}`)));
    const target = `${sshUser}@${sshHost}:/var/tmp/by-scp.qcow2`;
    const copy = await measure("scp", ["-q", "-F", sshConfigFile, "-P", String(sshPort), image, target]);
    scp.push(BYTES / copy.seconds);
  }
  const mib = (bytes: number): string => `${Math.round(bytes / 1024 ** 2)} MiB`;
  const beside = (rates: readonly number[]): string => (median(rates) / median(scp)).toFixed(2);
  return [
    `tasks/upload-image.ts, 2 GiB, ${what}: sending    ${mib(median(sending))}/s, ${beside(sending)} times scp, median of ${PAIRS}`,
    `  the same with reading the file before           ${mib(median(whole))}/s, ${beside(whole)} times scp`,
    `  scp of the same file to the same server         ${mib(median(scp))}/s`,
    `  the task's peak memory                          ${mib(peak)} (under 150 MiB)`,
  ];
}

/** A valid qcow2 of 2 GiB: its unused tail stands for data that do not compress, in every nth stretch; the rest is zeros. */
async function makeImage(file: string, every: number): Promise<void> {
  await createSparseQcow2(file, BYTES);
  const handle = await open(file, "r+");
  const { size } = await handle.stat();
  const block = randomFillSync(Buffer.alloc(4 * 1024 ** 2));
  for (let at = size; at < BYTES; at += block.length) {
    if (Math.floor(at / STRETCH) % every !== 0) continue;
    // Another block each time, without the cost of random numbers for all of it.
    createHash("sha256").update(block).digest().copy(block);
    await handle.write(block, 0, Math.min(block.length, BYTES - at), at);
  }
  await handle.truncate(BYTES);
  await handle.close();
}

function stepSeconds(events: string, title: string): number {
  const lines = events.split("\n").filter((line) => line !== "");
  const all = lines.map((line) => JSON.parse(line) as { title?: string; state?: string; ms?: number });
  const ms = all.find((event) => event.title === title && event.state === "done")?.ms;
  if (ms === undefined) throw new Error(`no step "${title}" was done`);
  return ms / 1000;
}
