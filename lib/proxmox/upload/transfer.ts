import { type FileHandle, open } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { TaskError } from "../../errors.ts";
import { CommandError, childEnv, start } from "../../process.ts";
import { formatBytes } from "../../progress.ts";
import { Pace } from "../pace.ts";
import { quoteWords } from "../quote.ts";
import type { NodeShell } from "../ssh.ts";
import { SSH_FAILED } from "../ssh-failure.ts";
import { bytesAfter, type Content, type Extent, extentsAfter, type Following } from "./content.ts";

const CHUNK_BYTES = 1024 * 1024;
/** Extents that one SSH command writes: it has to stay shorter than the node's shell allows. */
const EXTENTS_A_COMMAND = 200;
/** How often a connection that breaks without having got any further is tried again, and when. */
const RETRY_MS = [500, 2_000, 5_000];

/** What a transfer came to. */
export interface Sent {
  /** Bytes that went over the network, those that a broken connection lost among them. */
  readonly bytes: number;
  /** Where in the file an earlier transfer had stopped; 0 when there was none. */
  readonly resumedAt: number;
}

export interface SendOptions extends Following {
  /** Bytes a second at most. */
  readonly limit?: number | undefined;
  /** Say something that stays visible. */
  note?(line: string): void;
}

/**
 * Bring a file onto the node, from where an earlier transfer of the same file has stopped. Zeros are not sent: the node
 * leaves holes. A connection that breaks is made anew, as long as each one gets a bit further.
 *
 * Data go in ascending order, so the size of what lies on the node is where to go on: nothing has to be written down.
 * @param remote where it goes on the node, a name that belongs to this content alone; readable for the user alone
 * @throws {TaskError} when ssh fails, {CommandError} when the node's shell does
 */
export async function send(
  shell: NodeShell,
  file: string,
  content: Content,
  remote: string,
  options: SendOptions,
): Promise<Sent> {
  const { signal, note } = options;
  const handle = await open(file, "r");
  try {
    const resumedAt = await arrivedBytes(shell, remote, content, signal);
    const { extents } = content;
    const upTo = (place: number): number => bytesAfter(extents) - bytesAfter(extents, place);
    const pace = new Pace({ ...options, total: bytesAfter(extents) }, upTo(resumedAt));
    let failures = 0;
    for (let at = resumedAt; ; ) {
      try {
        await sendFrom(shell, handle, content, remote, at, { pace, signal });
        await shell.run(["truncate", "-s", String(content.size), remote], { signal });
        return { bytes: pace.bytes, resumedAt };
      } catch (error) {
        if (!(error instanceof BrokenConnection)) throw error;
        const wait = RETRY_MS[failures];
        if (wait === undefined) throw error.failure;
        await sleep(wait, undefined, { signal });
        const before = at;
        at = await arrivedBytes(shell, remote, content, signal).catch(() => {
          // Whoever cannot ask has not got any further; what broke first says why.
          throw error.failure;
        });
        failures = at > before ? 0 : failures + 1;
        pace.restart(upTo(at));
        note?.(`The connection broke and was made anew; going on at ${formatBytes(at)}`);
      }
    }
  } finally {
    await handle.close();
  }
}

/**
 * How much of a file lies on the node already.
 * @returns bytes from its beginning
 */
export async function arrivedBytes(
  shell: NodeShell,
  remote: string,
  { size }: Pick<Content, "size">,
  signal?: AbortSignal,
): Promise<number> {
  const options = signal ? { signal } : {};
  const { stdout } = await shell.runLine(
    `${quoteWords(["stat", "-c", "%s", remote])} 2>/dev/null || echo 0`,
    options,
  );
  const there = Number(stdout.trim());
  // More than there can be is not what we left.
  return Number.isSafeInteger(there) && there <= size ? there : 0;
}

/**
 * Compare what lies on the node with what was to be sent. What is damaged is removed: going on with it would not help.
 * @throws {TaskError} when another content lies on the node
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
  await shell.run(["rm", "-f", remote], { signal });
  throw new TaskError({
    what: "The image was damaged on its way",
    why: `sha256 here ${sha256}, on the node ${arrived}`,
    todo: ["Run it again; if it happens again, check the network and the node's disk and memory"],
    left: [`${remote} was removed from the node`],
  });
}

/** The connection ended before the transfer did; another one may go on. */
class BrokenConnection extends Error {
  readonly failure: TaskError | CommandError;

  constructor(failure: TaskError | CommandError) {
    super(failure.message, { cause: failure });
    this.failure = failure;
  }
}

interface Sending {
  readonly pace: Pace;
  readonly signal: AbortSignal;
}

async function sendFrom(
  shell: NodeShell,
  handle: FileHandle,
  { extents }: Content,
  remote: string,
  from: number,
  sending: Sending,
): Promise<void> {
  const left = extentsAfter(extents, from);
  for (let at = 0; at < left.length; at += EXTENTS_A_COMMAND) {
    await sendExtents(shell, handle, left.slice(at, at + EXTENTS_A_COMMAND), remote, sending);
  }
}

/** One SSH command: a dd for each extent takes its bytes from the same stdin. */
async function sendExtents(
  shell: NodeShell,
  handle: FileHandle,
  extents: readonly Extent[],
  remote: string,
  { pace, signal }: Sending,
): Promise<void> {
  const line = ["umask 077", ...extents.map((extent) => quoteWords(writeWords(remote, extent)))].join(" && ");
  const ssh = await shell.command(["--", line]);
  const child = start(ssh.file, ssh.args, { signal, env: childEnv({ LC_ALL: "C" }) });
  const ended = child.then((result) => result);
  let written: Promise<unknown> = Promise.resolve();
  try {
    for await (const data of chunksOf(handle, extents)) {
      await Promise.race([written, ended]);
      signal.throwIfAborted();
      // It has ended before its time: its own words say why.
      if (child.stdin.destroyed) break;
      written = new Promise<void>((resolve) => child.stdin.write(data, () => resolve()));
      await pace.passed(data.length);
    }
  } finally {
    child.stdin.end();
    // What is undone next must not meet a transfer that is still under way.
    await ended;
  }
  const result = await ended;
  signal.throwIfAborted();
  if (result.exitCode === 0) return;
  const failure = shell.failureOf(new CommandError(ssh.file, ssh.args, result));
  throw result.exitCode === SSH_FAILED ? new BrokenConnection(failure) : failure;
}

/** `iflag=fullblock`: a pipe gives less than a block at a time. */
function writeWords(remote: string, { offset, length }: Extent): string[] {
  return [
    ...["dd", `of=${remote}`, "bs=1M", "iflag=fullblock,count_bytes", "oflag=seek_bytes"],
    ...[`seek=${offset}`, `count=${length}`, "conv=notrunc", "status=none"],
  ];
}

/**
 * The extents of a file piece by piece. Two buffers take turns, so a piece is good until the one after the next is asked
 * for: what a stream allocates anew for each piece would wait for the collector by the hundred.
 */
async function* chunksOf(handle: FileHandle, extents: readonly Extent[]): AsyncGenerator<Buffer> {
  let [buffer, other] = [Buffer.allocUnsafe(CHUNK_BYTES), Buffer.allocUnsafe(CHUNK_BYTES)];
  for (const { offset, length } of extents) {
    for (let at = 0; at < length; ) {
      const { bytesRead } = await handle.read(buffer, 0, Math.min(CHUNK_BYTES, length - at), offset + at);
      if (bytesRead === 0) {
        throw new TaskError({
          what: "The image became shorter while it was sent",
          todo: ["Let whatever writes it end, then run this again"],
        });
      }
      yield buffer.subarray(0, bytesRead);
      [buffer, other] = [other, buffer];
      at += bytesRead;
    }
  }
}
