import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseTfvars } from "../config/index.ts";
import { environmentDirectory, varFiles } from "./environments.ts";

/**
 * The plain values (strings, numbers, booleans) that an environment's variables have by their defaults and by the files
 * that are handed to OpenTofu. What the environment does with them is OpenTofu's business.
 * @param root the repository's folder
 * @throws {UsageError} for an environment that there is not
 */
export async function declaredValues(root: string, environment: string): Promise<Record<string, string>> {
  const directory = await environmentDirectory(root, environment);
  const declared = await readFile(join(directory, "variables.tf"), "utf8").catch(() => "");
  const values = defaultsIn(declared);
  for (const file of varFiles(root, environment)) {
    Object.assign(values, parseTfvars(await readFile(file, "utf8")));
  }
  return values;
}

/** Each variable's block ends with a brace in the first column, as `tofu fmt` has it. */
function defaultsIn(text: string): Record<string, string> {
  const blocks = text.matchAll(/^variable "(?<name>[\w-]+)" \{\n(?<body>[\s\S]*?)^\}/gm);
  return Object.fromEntries(
    [...blocks].flatMap(({ groups: { name = "", body = "" } = {} }): [string, string][] => {
      const value = parseTfvars(body).default;
      return value === undefined ? [] : [[name, value]];
    }),
  );
}
