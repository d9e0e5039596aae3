import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The repository's folder. */
export const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** What one run of a command came to. */
export interface Measured {
  readonly seconds: number;
  /** The most memory it had at once, in bytes, without its children's. */
  readonly peakBytes: number;
  readonly stdout: string;
}

const SAMPLE_MS = 20;

/** Run a command to its end, with its time and its peak memory. */
export async function measure(
  file: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<Measured> {
  const started = performance.now();
  const child = spawn(file, args, { cwd: ROOT, env, stdio: ["ignore", "pipe", "pipe"] });
  let peakBytes = 0;
  const sample = setInterval(() => {
    peakBytes = Math.max(peakBytes, highWater(child.pid));
  }, SAMPLE_MS);
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const code = await new Promise((resolve) => child.once("close", resolve));
  clearInterval(sample);
  if (code !== 0) throw new Error(`${file} ${args.join(" ")} ended with ${String(code)}:\n${stderr}`);
  return { seconds: (performance.now() - started) / 1000, peakBytes, stdout };
}

/** The kernel keeps the highest resident size of a process. */
function highWater(pid: number | undefined): number {
  try {
    const [, kilobytes = "0"] =
      /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
    return Number(kilobytes) * 1024;
  } catch {
    return 0;
  }
}

/** The middle of the values when they are sorted; of an even number of them, the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? 0)
    : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}
