import type { Readable, Writable } from "node:stream";
import type { NodeFiles } from "../world/index.ts";

/** What a running program of the small shell works with. */
export interface Process {
  /** Its words after the program's name. */
  readonly args: readonly string[];
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** The machine's file system. */
  readonly files: NodeFiles;
  readonly user: { readonly name: string; readonly root: boolean };
  /** Runs another program with this one's streams, as sudo does. */
  readonly run: (words: readonly string[], user?: Process["user"]) => Promise<number>;
}

/** A program: its exit code. */
export type Program = (process: Process) => Promise<number>;

/** The programs of a machine, by name. */
export type Programs = Readonly<Record<string, Program>>;

/** Write text and wait until there is room for more. */
export async function write(stream: Writable, text: string | Buffer): Promise<void> {
  if (stream.destroyed || stream.write(text)) return;
  await new Promise<void>((resolve) => {
    const go = (): void => {
      stream.off("drain", go).off("close", go);
      resolve();
    };
    stream.on("drain", go).on("close", go);
  });
}

/** Complain as a program does, and give its exit code. */
export async function complain({ stderr }: Process, message: string, code = 1): Promise<number> {
  await write(stderr, `${message}\n`);
  return code;
}
