import { cpSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { ROOT } from "../../../lib/task/index.ts";

/**
 * A copy of the code with one module changed, to be imported into this process.
 * @param folder that the copy goes into; whoever calls removes it
 * @param path of the module in the repository: "lib/image-name.ts"
 * @returns where the changed module lies, for `import`
 */
export function mutantOf(folder: string, path: string, change: (text: string) => string): string {
  const copy = mkdtempSync(join(folder, "mutant-"));
  for (const part of ["tasks", "lib", "package.json", "tsconfig.json"]) {
    cpSync(join(ROOT, part), join(copy, part), { recursive: true });
  }
  symlinkSync(join(ROOT, "node_modules"), join(copy, "node_modules"));
  const file = join(copy, path);
  writeFileSync(file, change(readFileSync(file, "utf8")));
  return pathToFileURL(file).href;
}
