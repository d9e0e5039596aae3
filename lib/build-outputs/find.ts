import { lstat, open, readdir, realpath } from "node:fs/promises";
import { join } from "node:path";
import { trackedFiles } from "../git.ts";
import { type Place, places } from "./places.ts";

/** A folder with files of ours. Whoever removes them removes exactly these. */
export interface BuildOutput {
  /** The folder, relative to the repository, with forward slashes. */
  readonly path: string;
  readonly what: string;
  /** What its files take up on the disk. */
  readonly bytes: number;
  /** Relative to the folder. */
  readonly files: readonly string[];
}

/** Something beside them that stays. */
export interface Kept {
  /** Relative to the repository. */
  readonly path: string;
  readonly why: string;
}

/**
 * Find what our tasks have made in the working tree: by where it lies and what it is. State is never among it, nor
 * what Git tracks, nor anything behind a symbolic link.
 * @param root the repository's folder
 * @throws {TaskError} when Git cannot tell what it tracks
 */
export async function findBuildOutputs(root: string): Promise<{ outputs: BuildOutput[]; kept: Kept[] }> {
  const real = await realpath(root);
  const candidates: Place[] = [];
  for (const place of await places(root)) {
    // A folder on the way that is a link leads to somebody else's files.
    const at = await realpath(join(root, place.folder)).catch(() => undefined);
    if (at === join(real, place.folder)) candidates.push(place);
  }
  const tracked = new Set(
    await trackedFiles(
      root,
      candidates.map(({ folder }) => folder),
    ),
  );
  const outputs: BuildOutput[] = [];
  const kept: Kept[] = [];
  for (const place of candidates) {
    const files: string[] = [];
    let bytes = 0;
    for (const { path: file, size } of await filesBelow(join(root, place.folder))) {
      const path = `${place.folder}/${file}`;
      const why = isState(file)
        ? "state"
        : tracked.has(path)
          ? "tracked by Git"
          : (await isOurs(root, place, file))
            ? undefined
            : "not made by the tasks";
      if (why === undefined) {
        files.push(file);
        bytes += size;
      } else kept.push({ path, why });
    }
    if (files.length > 0) outputs.push({ path: place.folder, what: place.what, bytes, files });
  }
  return { outputs, kept };
}

/** A state, its backup or its lock, and the backend's configuration, which has the same name. */
function isState(file: string): boolean {
  return /(^|\/)[^/]*\.tfstate(\.|$)/.test(file);
}

async function isOurs(root: string, { folder, owns, begins = {} }: Place, file: string): Promise<boolean> {
  if (!owns(file)) return false;
  const expected = begins[file];
  if (expected === undefined) return true;
  const bytes = Buffer.from(expected, "latin1");
  const handle = await open(join(root, folder, file));
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(bytes.length), 0, bytes.length, 0);
    return bytesRead === bytes.length && buffer.equals(bytes);
  } finally {
    await handle.close();
  }
}

/** Files and links below a folder, by their path in it; links are not followed. */
async function filesBelow(folder: string, prefix = ""): Promise<{ path: string; size: number }[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const found = await Promise.all(
    entries.map(async (entry) => {
      const path = `${prefix}${entry.name}`;
      if (entry.isDirectory()) return await filesBelow(join(folder, entry.name), `${path}/`);
      const { blocks } = await lstat(join(folder, entry.name));
      return [{ path, size: blocks * 512 }];
    }),
  );
  return found.flat().sort((a, b) => (a.path < b.path ? -1 : 1));
}
