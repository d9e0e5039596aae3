import { lstat, open, readdir } from "node:fs/promises";
import { basename, join, posix } from "node:path";
import { childEnv, run } from "../process.ts";

/** What is never looked at where there is no Git to say what belongs to the tree. */
const NOT_OURS = new Set(["node_modules", ".git", ".homelab", ".terraform", "charts", "output"]);

/**
 * Every file of the tree, new ones included, but not what Git is told to ignore. Links are left out: what they lead to
 * is looked at where it lies.
 * @param root the repository's folder
 * @returns paths relative to it, with slashes
 */
export async function treeFiles(root: string, signal?: AbortSignal): Promise<string[]> {
  const paths = (await fromGit(root, signal)) ?? (await walk(root, ""));
  const kept = await Promise.all(
    [...new Set(paths)].map(async (path) => {
      // A file that is removed, but not committed yet, is still in Git's list.
      const isFile = await lstat(join(root, path)).then(
        (entry) => entry.isFile(),
        () => false,
      );
      return isFile ? [path] : [];
    }),
  );
  return kept.flat().sort();
}

async function fromGit(root: string, signal?: AbortSignal): Promise<string[] | undefined> {
  try {
    const args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    const { stdout } = await run("git", args, {
      cwd: root,
      env: childEnv({ LC_ALL: "C" }),
      ...(signal === undefined ? {} : { signal }),
    });
    return stdout.split("\0").filter((path) => path !== "");
  } catch {
    signal?.throwIfAborted();
    // A downloaded archive, or no Git.
    return undefined;
  }
}

async function walk(root: string, folder: string): Promise<string[]> {
  const entries = await readdir(join(root, folder), { withFileTypes: true });
  const found = await Promise.all(
    entries.map(async (entry) => {
      const path = posix.join(folder, entry.name);
      if (entry.isDirectory()) return NOT_OURS.has(entry.name) ? [] : await walk(root, path);
      return [path];
    }),
  );
  return found.flat();
}

/** The shell scripts among files: by their ending, and those without one by their first line. */
export async function shellScripts(root: string, files: readonly string[]): Promise<string[]> {
  const found = await Promise.all(
    files.map(async (file) => {
      const name = basename(file);
      if (/\.(?:sh|bash|bats)$/.test(name)) return [file];
      if (name.includes(".") || file.includes("node_modules")) return [];
      return /^#!.*\b(?:ba|da|k)?sh\b/.test(await firstBytes(join(root, file))) ? [file] : [];
    }),
  );
  return found.flat();
}

/** The Dockerfiles among files. */
export function dockerfiles(files: readonly string[]): string[] {
  return files.filter((file) =>
    /^(?:Dockerfile|Containerfile)(?:\..+)?$|\.(?:[Dd]ockerfile|[Cc]ontainerfile)$/.test(basename(file)),
  );
}

/** The YAML files among files. */
export function yamlFiles(files: readonly string[]): string[] {
  return files.filter((file) => /\.ya?ml$/.test(file));
}

async function firstBytes(path: string): Promise<string> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(80), 0, 80, 0);
    return buffer.toString("utf8", 0, bytesRead).split("\n")[0] ?? "";
  } finally {
    await file.close();
  }
}
