import { type FileHandle, open, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { PassThrough, type Readable, type Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { type NodeFiles, OutsideNodeError } from "../world/index.ts";
import { fileWriter } from "./file-writer.ts";
import {
  type Pipeline,
  parseCommandLine,
  type Redirect,
  ShellSyntaxError,
  type SimpleCommand,
} from "./parse.ts";
import { type Process, type Programs, write } from "./program.ts";

/** A machine as its shell sees it. */
export interface ShellOptions {
  readonly files: NodeFiles;
  readonly programs: Programs;
  readonly user: Process["user"];
}

/** The streams of a command. */
export interface Streams {
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
}

/** Exit codes of POSIX shells. */
const NOT_FOUND = 127;
const SYNTAX = 2;

/**
 * Run a command line on a machine of the sandbox.
 * @returns its exit code
 */
export async function runCommandLine(line: string, streams: Streams, options: ShellOptions): Promise<number> {
  let pipelines: Pipeline[];
  try {
    pipelines = parseCommandLine(line);
  } catch (error) {
    if (!(error instanceof ShellSyntaxError)) throw error;
    await write(streams.stderr, `bash: line 1: ${error.message}\n`);
    return SYNTAX;
  }
  let code = 0;
  for (const { commands, when } of pipelines) {
    if (when === "success" && code !== 0) continue;
    if (when === "failure" && code === 0) continue;
    const [first] = commands;
    if (commands.length === 1 && first?.words[0] === "exit") return Number(first.words[1] ?? code);
    code = await runPipeline(commands, streams, options);
  }
  return code;
}

async function runPipeline(
  commands: readonly SimpleCommand[],
  { stdin, stdout, stderr }: Streams,
  options: ShellOptions,
): Promise<number> {
  const pipes = commands.slice(1).map(() => new PassThrough());
  const codes = await Promise.all(
    commands.map(async (command, index) => {
      const out = pipes[index] ?? stdout;
      const code = await runRedirected(
        command,
        { stdin: pipes[index - 1] ?? stdin, stdout: out, stderr },
        options,
      );
      pipes[index]?.end();
      // Nobody reads what the command before still writes: it ends, as by SIGPIPE.
      pipes[index - 1]?.destroy();
      return code;
    }),
  );
  return codes.at(-1) ?? 0;
}

async function runRedirected(
  command: SimpleCommand,
  streams: Streams,
  options: ShellOptions,
): Promise<number> {
  const opened: Writable[] = [];
  try {
    const redirected = await redirect(command.redirects, streams, options, opened);
    const code = await runWords(command.words, redirected, options);
    // What is still on its way may find no room.
    for (const stream of opened) await ended(stream);
    return code;
  } catch (error) {
    const reason = reasonOf(error instanceof RedirectError ? error.cause : error);
    if (reason === undefined) throw error;
    const who =
      error instanceof RedirectError ? `bash: line 1: ${error.path}` : `${command.words[0]}: write error`;
    await write(streams.stderr, `${who}: ${reason}\n`);
    return 1;
  } finally {
    for (const stream of opened) await ended(stream).catch(() => {});
  }
}

/** End a stream and wait until everything lies in its file. */
async function ended(stream: Writable): Promise<void> {
  if (stream.errored) throw stream.errored;
  stream.end();
  await finished(stream);
}

async function runWords(words: readonly string[], streams: Streams, options: ShellOptions): Promise<number> {
  const [name, ...args] = words[0] === "exec" ? words.slice(1) : words;
  if (name === undefined) return 0;
  if ((name === "sh" || name === "bash") && args[0] === "-c") {
    return await runCommandLine(args[1] ?? "", streams, options);
  }
  const program = Object.hasOwn(options.programs, name) ? options.programs[name] : undefined;
  if (program === undefined) {
    await write(streams.stderr, `bash: line 1: ${name}: command not found\n`);
    return NOT_FOUND;
  }
  return await program({
    ...streams,
    args,
    files: options.files,
    user: options.user,
    run: async (other, user = options.user) => await runWords(other, streams, { ...options, user }),
  });
}

async function redirect(
  redirects: readonly Redirect[],
  streams: Streams,
  options: ShellOptions,
  opened: Writable[],
): Promise<Streams> {
  let { stdin, stdout, stderr } = streams;
  for (const { fd, mode, target } of redirects) {
    if (mode === "copy") {
      if (fd === 2) stderr = stdout;
      else stdout = stderr;
    } else if (target === "/dev/null") {
      const nothing = new PassThrough().resume();
      if (fd === 0) stdin = nothing.end();
      else if (fd === 2) stderr = nothing;
      else stdout = nothing;
    } else {
      // The file is opened before anything runs: a command never runs whose output has nowhere to go.
      const file = await openFile(options, target, mode);
      if (mode === "read") {
        stdin = file.createReadStream();
        continue;
      }
      const stream = fileWriter(file, options.files.roomFor(absolute(target)));
      // Whoever writes finds the stream destroyed; the reason shows there.
      stream.on("error", () => {});
      opened.push(stream);
      if (fd === 2) stderr = stream;
      else stdout = stream;
    }
  }
  return { stdin, stdout, stderr };
}

/** Why a redirection failed, and for which path. */
class RedirectError extends Error {
  override readonly name = "RedirectError";
  readonly path: string;

  constructor(path: string, cause: unknown) {
    super(path, { cause });
    this.path = path;
  }
}

const FLAGS = { read: "r", write: "w", append: "a" } as const;

async function openFile(
  { files, user }: ShellOptions,
  target: string,
  mode: keyof typeof FLAGS,
): Promise<FileHandle> {
  try {
    const path = files.toHost(absolute(target));
    await demandAccess(path, user, mode === "read" ? 4 : 2);
    return await open(path, FLAGS[mode], 0o600);
  } catch (error) {
    throw reasonOf(error) === undefined ? error : new RedirectError(target, error);
  }
}

/**
 * The machines' files belong to root: others may do what a file's mode grants to everybody. A file that is not there
 * goes by its directory.
 * @param bit 4 to read, 2 to write
 * @throws {Error} EACCES, or what looking at it comes to
 */
export async function demandAccess(hostPath: string, user: Process["user"], bit: 4 | 2): Promise<void> {
  if (user.root) return;
  const missing = async (error: unknown): Promise<{ mode: number }> => {
    if (bit === 4 || (error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return await stat(dirname(hostPath));
  };
  const { mode } = await stat(hostPath).catch(missing);
  if ((mode & bit) === 0) throw Object.assign(new Error("Permission denied"), { code: "EACCES" });
}

/** Everything on these machines happens in root's home. */
export function absolute(path: string): string {
  return path.startsWith("/") ? path : `/root/${path}`;
}

/** What the system says about a path, in its own words; undefined for errors of ours. */
export function reasonOf(error: unknown): string | undefined {
  if (error instanceof OutsideNodeError) return error.message;
  const { code } = error as NodeJS.ErrnoException;
  const words: Record<string, string> = {
    ENOENT: "No such file or directory",
    EISDIR: "Is a directory",
    ENOTDIR: "Not a directory",
    EEXIST: "File exists",
    EACCES: "Permission denied",
    ENOTEMPTY: "Directory not empty",
    ENOSPC: "No space left on device",
  };
  return code === undefined ? undefined : words[code];
}
