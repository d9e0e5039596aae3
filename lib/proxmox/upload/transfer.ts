import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { TaskError } from "../../errors.ts";
import { CommandError, childEnv, start } from "../../process.ts";
import { transferLine } from "../../progress.ts";
import { quoteWords } from "../quote.ts";
import type { NodeShell } from "../ssh.ts";

const CHUNK_BYTES = 1024 * 1024;
const PROGRESS_MS = 200;

/** How a transfer is followed and ended. */
export interface Transfer {
  /** Told how far it is, several times a second. */
  output(line: string): void;
  readonly signal: AbortSignal;
}

/**
 * Stream a file to the node, hashing on the way; memory stays the same whatever its size.
 * @param remote where it goes on the node; readable for the user alone
 * @param total its size in bytes, for the progress line
 * @returns the sha256 of what was sent
 * @throws {TaskError} when ssh fails, {CommandError} when the node's shell does
 */
export async function send(
  shell: NodeShell,
  file: string,
  remote: string,
  total: number,
  { output, signal }: Transfer,
): Promise<string> {
  const ssh = await shell.command(["--", `umask 077; cat > ${quoteWords([remote])}`]);
  const child = start(ssh.file, ssh.args, { signal, env: childEnv({ LC_ALL: "C" }) });
  const ended = child.then((result) => result);
  const hash = createHash("sha256");
  const started = performance.now();
  let bytes = 0;
  let said = started;
  let written: Promise<unknown> = Promise.resolve();
  try {
    for await (const data of chunksOf(file)) {
      await Promise.race([written, ended]);
      signal.throwIfAborted();
      // It has ended before its time: its own words say why.
      if (child.stdin.destroyed) break;
      written = new Promise<void>((resolve) => child.stdin.write(data, () => resolve()));
      hash.update(data);
      bytes += data.length;
      if (performance.now() - said < PROGRESS_MS) continue;
      said = performance.now();
      output(transferLine({ bytes, total, seconds: (said - started) / 1000 }));
    }
  } finally {
    child.stdin.end();
    // What is undone next must not meet a transfer that is still under way.
    await ended;
  }
  const result = await ended;
  signal.throwIfAborted();
  if (result.exitCode !== 0) throw shell.failureOf(new CommandError(ssh.file, ssh.args, result));
  return hash.digest("hex");
}

/**
 * Compare what lies on the node with what was sent.
 * @param sha256 of the file that was sent
 * @throws {TaskError} when another one lies on the node
 */
export async function demandArrived(
  shell: NodeShell,
  remote: string,
  sha256: string,
  signal: AbortSignal,
): Promise<void> {
  const { stdout } = await shell.run(["sha256sum", remote], { signal });
  const arrived = stdout.split(" ")[0];
  if (arrived === sha256) return;
  throw new TaskError({
    what: "The image was damaged on its way",
    why: `sha256 here ${sha256}, on the node ${arrived}`,
    todo: ["Run it again; if it happens again, check the network and the node's disk and memory"],
  });
}

/** The sha256 of a file. */
export async function hashFile(file: string, signal: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  for await (const data of chunksOf(file)) {
    signal.throwIfAborted();
    hash.update(data);
  }
  return hash.digest("hex");
}

/**
 * A file piece by piece. Two buffers take turns, so a piece is good until the one after the next is asked for: what a
 * stream allocates anew for each piece would wait for the collector by the hundred.
 */
async function* chunksOf(file: string): AsyncGenerator<Buffer> {
  const handle = await open(file, "r");
  try {
    let [buffer, other] = [Buffer.allocUnsafe(CHUNK_BYTES), Buffer.allocUnsafe(CHUNK_BYTES)];
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, CHUNK_BYTES);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
      [buffer, other] = [other, buffer];
    }
  } finally {
    await handle.close();
  }
}
