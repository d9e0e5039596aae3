import { access, constants, stat } from "node:fs/promises";
import { delimiter, join } from "node:path";

/** The path of a program on PATH; undefined when there is none that may be executed. */
export async function which(program: string): Promise<string | undefined> {
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    if (folder === "") continue;
    const path = join(folder, program);
    try {
      await access(path, constants.X_OK);
      if ((await stat(path)).isFile()) return path;
    } catch {
      // Not here.
    }
  }
  return undefined;
}
