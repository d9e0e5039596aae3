import { createHash, randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";

/**
 * What a folder rendered to when it last had exactly these files and was rendered by exactly these versions; rendered now
 * when it has others.
 * @param versions of all that has a part in it
 */
export async function remembered(
  directory: string,
  versions: readonly string[],
  render: () => Promise<string>,
): Promise<string> {
  const { ToolCache } = await import("../../lib/toolchain/index.ts");
  const folder = join(new ToolCache().dir, "renderings");
  const name = `${await digestOf(directory, versions)}.yaml`;
  try {
    return await readFile(join(folder, name), "utf8");
  } catch {
    const text = await render();
    // Without room for it, or beside another run that does the same, it is rendered again the next time.
    await keep(folder, name, text).catch(() => {});
    return text;
  }
}

async function digestOf(directory: string, versions: readonly string[]): Promise<string> {
  const hash = createHash("sha256").update(versions.join("\0"));
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name));
  for (const file of files.sort()) {
    const text = await readFile(file);
    hash.update(`\0${relative(directory, file)}\0${text.length}\0`).update(text);
  }
  return hash.digest("hex").slice(0, 32);
}

async function keep(folder: string, name: string, text: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const draft = join(folder, `.${randomUUID()}`);
  await writeFile(draft, text);
  await rename(draft, join(folder, name));
  // One is enough: the last.
  const others = (await readdir(folder)).filter((each) => each.endsWith(".yaml") && each !== name);
  await Promise.all(others.map((each) => rm(join(folder, each), { force: true })));
}
