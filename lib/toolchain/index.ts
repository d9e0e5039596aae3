export { pins } from "../pins.ts";
export { ToolCache } from "./cache.ts";
export { type EnsureOptions, ensureTool, locateTool } from "./ensure.ts";
export { type ProviderMirror, providerMirror } from "./mirror.ts";
export { type PackerPlugin, type PackerPlugins, packerPlugins } from "./packer-plugins.ts";
export { RECIPES } from "./recipes.ts";
export {
  TOOL_GROUPS,
  TOOL_NAMES,
  type Tool,
  type ToolGroup,
  type ToolName,
} from "./tool.ts";
