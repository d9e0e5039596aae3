import { homedir } from "node:os";
import { type CheckControl, Unavailable } from "../../lib/check/index.ts";
import { TaskError } from "../../lib/errors.ts";
import type { PackerPlugin, Tool, ToolName } from "../../lib/toolchain/index.ts";

/** What is got is got one after the other: a build uses every CPU there is. */
let last: Promise<unknown> = Promise.resolve();

/**
 * A tool, got if it is not there yet.
 * @throws {Unavailable} when it is not to be had
 */
export async function tool(name: ToolName, { signal, output }: CheckControl): Promise<Tool> {
  const { ensureTool, locateTool } = await import("../../lib/toolchain/index.ts");
  const found = await locateTool(name);
  if (found !== undefined) return found;
  output(`waiting for ${name}, which is not there yet`);
  return await inTurn(name, async () => {
    output(`getting ${name}`);
    return await ensureTool(name, { signal, onProgress: output });
  });
}

/**
 * The folder that Packer finds plugins in.
 * @throws {Unavailable} when one is not to be had
 */
export async function plugins(
  names: readonly PackerPlugin[],
  { signal, output }: CheckControl,
): Promise<string> {
  const { packerPlugins } = await import("../../lib/toolchain/index.ts");
  const missing = names.map((name) => `packer-plugin-${name}`).join(", ");
  return await inTurn(missing, async () => {
    const { dir } = await packerPlugins(names, { signal, onProgress: output });
    return dir;
  });
}

/** As a person types it here: by its name where that leads to it, else by its path. */
export function shownProgram({ name, path, source }: Pick<Tool, "name" | "path" | "source">): string {
  if (source === "path") return name;
  const home = homedir();
  return path.startsWith(`${home}/`) ? `~${path.slice(home.length)}` : path;
}

async function inTurn<Result>(name: string, get: () => Promise<Result>): Promise<Result> {
  const turn = last.then(get);
  last = turn.catch(() => {});
  try {
    return await turn;
  } catch (error) {
    if (!(error instanceof TaskError)) throw error;
    const { what, why, todo } = error;
    throw new Unavailable(name, why === undefined ? what : `${what}\n${why}`, todo);
  }
}
