import { open, realpath, stat } from "node:fs/promises";
import { basename } from "node:path";
import { childEnv, run } from "../process.ts";
import { which } from "../which.ts";
import { addRecord, readRecords } from "./records.ts";
import { formatVersion, type Recipe, type Tool, type ToolName, versionIn } from "./tool.ts";

/**
 * A tool on PATH whose version fits. A program is asked for its version once: the answer is remembered for as long
 * as the file does not change.
 * @param memory file that keeps the answers
 */
export async function findOnPath(name: ToolName, recipe: Recipe, memory: string): Promise<Tool | undefined> {
  const { onPath } = recipe;
  if (onPath === undefined) return undefined;
  const path = await which(onPath.program);
  if (path === undefined) return undefined;
  const answer = await versionOf(path, onPath.args, memory);
  const version = versionIn(answer);
  if (version === undefined || !onPath.fits(version)) return undefined;
  return { name, version: formatVersion(version), path, source: "path" };
}

async function versionOf(path: string, args: readonly string[], memory: string): Promise<string> {
  const { mtimeMs, size } = await stat(path);
  const key = `${path} ${mtimeMs} ${size}`;
  const before = readRecords(memory)[key];
  if (before !== undefined) return before;
  const answer = await ask(path, args);
  // No answer may come from a busy machine: the next run asks again.
  if (answer !== "" && !(await isShim(path))) await addRecord(memory, key, answer);
  return answer;
}

/** Whether a version manager's stand-in lies on PATH: it stays the same while the version behind it changes. */
async function isShim(path: string): Promise<boolean> {
  if (basename(await realpath(path)) !== basename(path)) return true;
  const file = await open(path);
  try {
    const { buffer } = await file.read(Buffer.alloc(2), 0, 2, 0);
    return buffer.toString() === "#!";
  } finally {
    await file.close();
  }
}

/** What a program prints of its version; empty for one that does not even start. */
async function ask(path: string, args: readonly string[]): Promise<string> {
  try {
    const env = childEnv({ CHECKPOINT_DISABLE: "1" });
    return (await run(path, args, { env, timeoutMs: 10_000 })).stdout.slice(0, 400);
  } catch {
    return "";
  }
}
