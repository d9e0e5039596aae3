import { UsageError } from "../lib/errors.ts";
import { defineCommand, main, type Step } from "../lib/task/index.ts";
import {
  ensureTool,
  locateTool,
  RECIPES,
  TOOL_GROUPS,
  type Tool,
  type ToolGroup,
  type ToolName,
} from "../lib/toolchain/index.ts";

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

const command = defineCommand({
  name: "setup",
  summary:
    "Get the tools: from PATH where the version fits, else the official release, else built from source",
  flags: {
    for: {
      type: "string",
      value: "GROUP",
      about: `what they are for: ${Object.keys(TOOL_GROUPS).join(", ")} (default: all but what image-proxmox adds)`,
    },
  },
  async run(context) {
    const tools: Tool[] = [];
    await context.steps(toolSteps(namesFor(context.flags.for), (tool) => tools.push(tool)));
    context.result(table(tools), { tools });
  },
});

function namesFor(group: string | undefined): readonly ToolName[] {
  // Packer's plugin for Proxmox has no other source than its release: it is got by the build that needs it.
  if (group === undefined) return TOOL_GROUPS.test;
  if (!isGroup(group)) {
    throw new UsageError({
      what: `There is no group of tools called "${group}"`,
      todo: [`Use one of ${Object.keys(TOOL_GROUPS).join(", ")}`],
    });
  }
  return TOOL_GROUPS[group];
}

function isGroup(text: string): text is ToolGroup {
  return Object.hasOwn(TOOL_GROUPS, text);
}

function table(tools: readonly Tool[]): string {
  const rows = tools.map(({ name, version, source, path }) => [name, version, source, path] as const);
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ")).join("\n");
}

await main(import.meta.url, command);
