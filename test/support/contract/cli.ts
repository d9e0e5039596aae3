import { readFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { type Programs, runCommandLine } from "../../../lib/sandbox/shell/index.ts";
import type { NodeFiles } from "../../../lib/sandbox/world/index.ts";
import { normalise } from "./normalise.ts";
import { RECORDINGS } from "./recordings.ts";

/** What a command left behind, on the real node or on ours. */
export interface CliResult {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** One command of a recording. */
export interface RecordedCommand extends CliResult {
  /** Its file and its place in it, from 1: "qm-create#3". */
  readonly id: string;
  readonly line: string;
}

const COMMAND = /^\$ (.*)\nexit: (\d+)\n--- stdout\n((?:.*\n)*?)--- stderr\n((?:.*\n)*?)=== end$/gm;

/** The commands of a recording, for example "qm-create". */
export function recordedCommands(name: string): RecordedCommand[] {
  const text = readFileSync(join(RECORDINGS, "cli", `${name}.txt`), "utf8");
  return [...text.matchAll(COMMAND)].map(([, line = "", exit, stdout = "", stderr = ""], index) => ({
    id: `${name}#${index + 1}`,
    line,
    exit: Number(exit),
    stdout,
    stderr,
  }));
}

/** Run a command line on a machine of the sandbox, without a connection to it. */
export async function runOn(files: NodeFiles, programs: Programs, line: string): Promise<CliResult> {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const texts = [stdout, stderr].map(async (stream) => {
    let text = "";
    for await (const chunk of stream) text += String(chunk);
    return text;
  });
  const streams = { stdin: new PassThrough().end(), stdout, stderr };
  const exit = await runCommandLine(line, streams, { files, programs, user: { name: "root", root: true } });
  stdout.end();
  stderr.end();
  const [out = "", err = ""] = await Promise.all(texts);
  return { exit, stdout: out, stderr: err };
}

/** Said by the recording's node and by no other: its lab had no KVM and slow locks. */
const ARTEFACTS = [/^Use of uninitialized value .*\n/gm, /^trying to acquire lock\.\.\.\n OK\n/gm];

/** How often a copy reports its progress depends on the machine: the beginning and the end are kept. */
const PROGRESS = /^transferred (?!0\.0 B )(?!.*\(100\.00%\)).*\n/gm;

const PATTERNS: readonly (readonly [RegExp, string])[] = [
  ...ARTEFACTS.map((pattern) => [pattern, ""] as const),
  [PROGRESS, ""],
  [/^(transferred .*\(100\.00%\)\n)\1/gm, "$1"],
  [/\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, "<uuid>"],
  // A secret, as it was masked.
  [/\*{36}/g, "<uuid>"],
  [/\b[0-9a-f]{40}\b/g, "<sha1>"],
  [/\bBC:24:11(?::[0-9A-F]{2}){3}\b/g, "<mac>"],
  [/ctime=\d+/g, "ctime=<time>"],
  [/running kernel: [^)]+/g, "running kernel: <kernel>"],
  // Space of the machine's disks, in columns whose width follows the figures.
  [/( (?:active|inactive)) +\d+ +\d+ +\d+ +[\d.]+%/g, "$1 <space>"],
  [/^(\t*(?:mem|memhost|netin|netout|pid|uptime|disk): )\d+$/gm, "$1<number>"],
  [/("[rt]x-(?:bytes|packets|dropped|errs)" : )\d+/g, "$1<number>"],
];

/** An output without what differs from run to run and from machine to machine. */
export function normaliseOutput(text: string): string {
  if (/^(?:\{"|\[\{).*\n$/.test(text)) return JSON.stringify(normalise(JSON.parse(text)));
  return PATTERNS.reduce((rest, [pattern, name]) => rest.replace(pattern, name), text);
}

/** The one command whose output was recorded as it arrived: `SECONDS stdout b"TEXT"` a line. */
export function recordedStream(name: string): RecordedCommand {
  const text = readFileSync(join(RECORDINGS, "cli", `${name}.txt`), "utf8");
  const chunks = [...text.matchAll(/^ *[\d.]+ stdout b(".*")$/gm)];
  return {
    id: `${name}#1`,
    line: /^\$ (.*)$/m.exec(text)?.[1] ?? "",
    exit: Number(/^exit: (\d+)$/m.exec(text)?.[1]),
    stdout: chunks.map(([, chunk = '""']) => JSON.parse(chunk) as string).join(""),
    stderr: "",
  };
}
