import { UsageError } from "./errors.ts";
import { scanPlaceholders } from "./placeholders.ts";

/** What a task reads, and for what. */
export interface FilledRequest {
  /** Files, or folders that end with a slash, relative to the repository. */
  readonly paths: readonly string[];
  /** But not these: somebody else looks after them. */
  readonly except?: readonly string[];
  /** What cannot go on, as the end of a sentence: "Argo CD is not installed". */
  readonly otherwise: string;
}

/**
 * Refuse to go on while a value that a task reads still says CHANGEME or TODO. What a comment says, what is filled in in a
 * copy, and what Kustomize fills in, holds nothing up.
 * @param root the repository's folder
 * @throws {UsageError} with file and line of each
 */
export async function demandFilled(
  root: string,
  { paths, except = [], otherwise }: FilledRequest,
): Promise<void> {
  const { placeholders } = await scanPlaceholders(root);
  const isIn = (file: string, list: readonly string[]): boolean =>
    list.some((path) => (path.endsWith("/") ? file.startsWith(path) : file === path));
  const left = placeholders.filter(
    ({ file, where, filled }) =>
      where === "value" && filled === "here" && isIn(file, paths) && !isIn(file, except),
  );
  if (left.length === 0) return;
  throw new UsageError({
    what: `${left.length === 1 ? "A value is" : `${left.length} values are`} not filled in yet: ${otherwise}`,
    why: left.map(({ file, line, key, word }) => `${file}:${line}  ${key ?? "it"} says ${word}`).join("\n"),
    todo: ["Put the real value there, and run this again", "$ npm run preflight -- --only placeholders"],
  });
}
