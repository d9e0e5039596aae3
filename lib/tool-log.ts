import { appendFileSync, mkdirSync } from "node:fs";
import { basename, join } from "node:path";
import { lineRedactor } from "./secrets.ts";

/** How much a tool is to tell. */
export type ToolLogLevel = "debug" | "trace";

/** Where logs of tools go in this run. */
export interface ToolLogs {
  readonly level: ToolLogLevel;
  /** Made when it is missing, for its owner alone. */
  readonly folder: string;
  /** Told the path of a log, once it is begun. */
  readonly begun: (file: string) => void;
}

let logs: ToolLogs | undefined;
let files = new Map<Tool, string>();

/** The tools that keep logs, and what they are told to do so by. What they log comes on stderr then. */
const TOOLS = {
  tofu: (level: ToolLogLevel) => ({ TF_LOG: level.toUpperCase(), TF_LOG_PATH: undefined }),
  // It knows no levels.
  packer: () => ({ PACKER_LOG: "1" }),
} as const;
type Tool = keyof typeof TOOLS;

/** What their log lines begin with: a time, in either's form. */
const LOG_LINE = /^\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d/;

/** Let tools that are run from now on keep logs; undefined ends that. */
export function keepToolLogs(wanted: ToolLogs | undefined): void {
  logs = wanted;
  files = new Map();
}

/** The log of one run of a tool. */
export interface ToolLog {
  /** What its environment needs. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Takes a line of its stderr. @returns whether it was one of the log's, and not meant for a person */
  line(text: string): boolean;
  /** Notes how it ended. */
  end(exitCode: number | null): void;
}

/**
 * Begin the log of a tool's run; undefined when none is wanted, or it is no tool that keeps one. Each line is written as it
 * comes, with secrets taken out: the file never has any.
 * @param program path of the tool
 * @param args its arguments
 */
export function beginToolLog(program: string, args: readonly string[]): ToolLog | undefined {
  const tool = basename(program);
  if (logs === undefined || !isTool(tool)) return undefined;
  const { level } = logs;
  const file = fileFor(tool, logs);
  const clean = lineRedactor();
  const write = (text: string): void => appendFileSync(file, `${clean(text)}\n`, { mode: 0o600 });
  write(`# ${new Date().toISOString()} ${tool} ${args.join(" ")}`);
  let inLog = false;
  return {
    env: TOOLS[tool](level),
    line(text) {
      write(text);
      // What follows a line of the log without a time is its continuation, until something stands out from it.
      inLog = LOG_LINE.test(text) || (inLog && !/^\S*(Error|panic|╷|│)/i.test(text));
      return inLog;
    },
    end: (exitCode) => write(`# ${new Date().toISOString()} ${tool} ended: ${exitCode ?? "by a signal"}`),
  };
}

function isTool(name: string): name is Tool {
  return Object.hasOwn(TOOLS, name);
}

function fileFor(tool: Tool, { folder, begun }: ToolLogs): string {
  const known = files.get(tool);
  if (known !== undefined) return known;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  const file = join(folder, `${time}-${tool}-${process.pid}.log`);
  files.set(tool, file);
  begun(file);
  return file;
}
