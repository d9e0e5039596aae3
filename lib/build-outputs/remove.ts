import { rmdir, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { BuildOutput } from "./find.ts";

/** Folders that are nobody's once nothing is in them; the repository's own are not among them. */
const CONTAINER = /(^|\/)(output|charts|builds|logs)$/;

/**
 * Remove exactly the files that were found, and the folders that are empty then.
 * @param root the repository's folder
 */
export async function removeBuildOutput(root: string, { path, files }: BuildOutput): Promise<void> {
  const folders = new Set<string>();
  for (const file of files) {
    await unlink(join(root, path, file)).catch(unless("ENOENT"));
    for (let at = dirname(file); at !== "."; at = dirname(at)) folders.add(`${path}/${at}`);
  }
  folders.add(path);
  const container = dirname(path);
  // The deepest first.
  const emptied = [...folders].sort((a, b) => b.split("/").length - a.split("/").length);
  for (const folder of CONTAINER.test(container) ? [...emptied, container] : emptied) {
    await rmdir(join(root, folder)).catch(unless("ENOTEMPTY", "EEXIST", "ENOENT"));
  }
}

function unless(...codes: readonly string[]): (error: unknown) => void {
  return (error) => {
    if (!codes.includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  };
}
