import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, posix } from "node:path";
import type { Violations } from "./mutation.ts";

/** The image's directory, as the specification has it. */
export const IMAGE_DIRECTORY = "packer/alma9-k3s-optimized";
const NAME = posix.basename(IMAGE_DIRECTORY);

/** What is no text of the repository: other people's, and what programs leave. */
const NOT_OURS =
  /(?:^|\/)(?:\.git|node_modules|\.homelab|\.terraform|charts|output|coverage|package-lock\.json|[^/]*\.tfstate[^/]*)$/;
const LARGEST = 1024 ** 2;

/** The text files of the repository by their paths. */
export function repositoryTexts(root: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const walk = (folder: string): void => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = posix.join(folder, entry.name);
      if (NOT_OURS.test(path)) continue;
      if (entry.isDirectory()) walk(path);
      else if (entry.isFile() && statSync(join(root, path)).size < LARGEST)
        found.set(path, readFileSync(join(root, path), "utf8"));
    }
  };
  walk("");
  return found;
}

/** A mention of the directory, or of something that can only mean it. */
export interface Reference {
  readonly file: string;
  /** Counted from 1. */
  readonly line: number;
  /** The folders before it, as they are written: "../../packer/". */
  readonly folders: string;
  readonly name: string;
}

/** Every reference in a file. TypeScript writes paths in parts, and escapes them in expressions. */
export function referencesIn(file: string, text: string): Reference[] {
  return text.split("\n").flatMap((line, at) => {
    const joined = line.includes("join(") ? line.replaceAll('", "', "/") : line;
    const plain = joined.replaceAll("\\/", "/");
    return [...plain.matchAll(/([\w.*/{}$~-]*?)\b(alma(?:linux)?[-_]?\d*[-_]?k3s[\w-]*)/gi)].map(
      ([, folders = "", name = ""]): Reference => ({ file, line: at + 1, folders, name }),
    );
  });
}

/** References that are not to `packer/alma9-k3s-optimized`. */
export function pathViolations(texts: ReadonlyMap<string, string>): Violations {
  return [...texts].flatMap(([file, text]) =>
    referencesIn(file, text)
      .filter((reference) => !isRight(reference))
      .map(({ line, folders, name }) => `${file}:${line}: ${folders}${name}`),
  );
}

function isRight({ file, folders, name }: Reference): boolean {
  // Without folders it is a name: of an image file, a label, another thing.
  if (folders === "") return name === NAME || !/optimi/i.test(name);
  if (name !== NAME) return false;
  if (/(?:^|\/)packer\/$/.test(folders)) return true;
  if (folders === "output/") return true;
  return posix.join(posix.dirname(file), folders, name) === IMAGE_DIRECTORY;
}
