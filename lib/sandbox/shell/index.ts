/** The small shell of the sandbox's machines. */
export { builtins } from "./builtins.ts";
export { noSpace } from "./file-writer.ts";
export { parseCommandLine } from "./parse.ts";
export { complain, type Process, type Program, type Programs, write } from "./program.ts";
export { scp } from "./scp.ts";
export { runCommandLine, type ShellOptions, type Streams } from "./shell.ts";
