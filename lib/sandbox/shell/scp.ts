import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { posix } from "node:path";
import type { Readable } from "node:stream";
import { noSpace } from "./file-writer.ts";
import { complain, type Process, type Program, write } from "./program.ts";
import { absolute, reasonOf } from "./shell.ts";

const DONE = Buffer.from([0]);
const FAILED = "\x01";

/** The far end of scp's old protocol, which OpenSSH's clients before 9.0 use: single files, there (-t) and back (-f). */
export const scp: Program = async (process) => {
  const options = process.args.filter((arg) => arg.startsWith("-")).join("");
  const path = process.args.at(-1) ?? "";
  if (/[rd]/.test(options.replace(/-d/, ""))) return await fail(process, "the sandbox copies single files");
  try {
    const input = new Input(process.stdin);
    if (options.includes("t")) return await receive(process, input, path);
    if (options.includes("f")) return await send(process, input, path);
  } catch (error) {
    const reason = reasonOf(error);
    if (reason === undefined) throw error;
    return await fail(process, `${path}: ${reason}`);
  }
  return await complain(process, "scp: from here nothing is copied elsewhere");
};

async function receive(process: Process, input: Input, path: string): Promise<number> {
  const { files, stdout } = process;
  const target = files.toHost(absolute(path));
  const isFolder = (await stat(target).catch(() => undefined))?.isDirectory() === true;
  await write(stdout, DONE);
  for (let line = await input.line(); line !== undefined; line = await input.line()) {
    const [, mode, size, name = ""] = /^C(\d{4}) (\d+) (.+)$/.exec(line) ?? [];
    if (size !== undefined) {
      const file = isFolder ? files.toHost(posix.join(absolute(path), posix.basename(name))) : target;
      let room = files.roomFor(files.toNode(file)) ?? Number.POSITIVE_INFINITY;
      const handle = await open(file, "w", Number.parseInt(mode ?? "", 8) & 0o777);
      try {
        await write(stdout, DONE);
        for await (const chunk of input.bytes(Number(size))) {
          await handle.write(chunk.subarray(0, room));
          room -= chunk.length;
          if (room < 0) throw noSpace();
        }
        await input.status();
      } finally {
        await handle.close();
      }
    } else if (!line.startsWith("T")) return await fail(process, "the sandbox copies single files");
    await write(stdout, DONE);
  }
  return 0;
}

async function send({ files, stdout }: Process, input: Input, path: string): Promise<number> {
  const file = files.toHost(absolute(path));
  const { size, mode } = await stat(file);
  await input.status();
  await write(stdout, `C${(mode & 0o777).toString(8).padStart(4, "0")} ${size} ${posix.basename(path)}\n`);
  await input.status();
  for await (const chunk of createReadStream(file)) await write(stdout, chunk as Buffer);
  await write(stdout, DONE);
  await input.status();
  return 0;
}

async function fail({ stdout }: Process, message: string): Promise<number> {
  await write(stdout, `${FAILED}scp: ${message}\n`);
  return 1;
}

/** What the client sends: lines, single status bytes and files' contents by turns. */
class Input {
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(stream: Readable) {
    // The channel is needed for answers: reading to the end must not close it.
    this.#chunks = stream.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
  }

  /** The next line, or undefined at the end. */
  async line(): Promise<string | undefined> {
    while (!this.#rest.includes("\n")) if (!(await this.#more())) return undefined;
    const end = this.#rest.indexOf("\n");
    return this.#take(end + 1).toString("utf8", 0, end);
  }

  /** Wait for the client to have taken what was sent. */
  async status(): Promise<void> {
    if (this.#rest.length === 0 && !(await this.#more())) return;
    this.#take(1);
  }

  async *bytes(count: number): AsyncGenerator<Buffer> {
    for (let left = count; left > 0; ) {
      if (this.#rest.length === 0 && !(await this.#more())) return;
      const chunk = this.#take(Math.min(left, this.#rest.length));
      left -= chunk.length;
      yield chunk;
    }
  }

  #take(count: number): Buffer {
    const taken = this.#rest.subarray(0, count);
    this.#rest = this.#rest.subarray(count);
    return taken;
  }

  async #more(): Promise<boolean> {
    const { done, value } = await this.#chunks.next();
    if (done === true) return false;
    this.#rest = Buffer.concat([this.#rest, value]);
    return true;
  }
}
