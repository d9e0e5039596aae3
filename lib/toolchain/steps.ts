import type { Step } from "../task/index.ts";
import { ensureTool, locateTool } from "./ensure.ts";
import { RECIPES } from "./recipes.ts";
import type { Tool, ToolName } from "./tool.ts";

/**
 * One step a tool: found tools are skipped with their version and where they lie.
 * @param got told of each tool once it is there
 */
export function toolSteps(names: readonly ToolName[], got: (tool: Tool) => void = () => {}): Step[] {
  return names.map((name) => ({
    title: `${name} ${RECIPES[name].version}`,
    skip: async () => {
      const tool = await locateTool(name);
      if (tool === undefined) return false;
      got(tool);
      return tool.source === "path" ? `${tool.version} on PATH` : "in the cache";
    },
    run: async ({ output, signal }) => {
      got(await ensureTool(name, { signal, onProgress: output }));
    },
  }));
}
