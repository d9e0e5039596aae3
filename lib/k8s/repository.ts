import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { parseDocument } from "yaml";
import { TaskError } from "../errors.ts";

/** Where in a working tree the repository's own address stands. */
export const REPOSITORY_FILE = join("k8s", "argo", "repository", "repository.yaml");

/** The Git repository that Argo CD reads. */
export interface RepositoryAddress {
  readonly repoURL: string;
  /** Branch, tag or commit. */
  readonly targetRevision: string;
}

const schema = v.object({ data: v.object({ repoURL: v.string(), targetRevision: v.string() }) });

/**
 * Read the address from the text of the repository file.
 * @throws {TaskError} when the file has another form
 */
export function parseRepository(text: string): RepositoryAddress {
  const parsed = v.safeParse(schema, parseDocument(text).toJS());
  if (parsed.success) return parsed.output.data;
  throw new TaskError({
    what: `${REPOSITORY_FILE} cannot be understood`,
    why: parsed.issues.map((issue) => `${v.getDotPath(issue) ?? "it"}: ${issue.message}`).join("\n"),
    todo: ["Restore it:", `$ git checkout -- ${REPOSITORY_FILE}`],
  });
}

/** @param tree a working tree of the repository */
export async function readRepository(tree: string): Promise<RepositoryAddress> {
  return parseRepository(await readFile(join(tree, REPOSITORY_FILE), "utf8"));
}

/** Write the address into the file; its comments stay. */
export async function writeRepository(
  tree: string,
  { repoURL, targetRevision }: RepositoryAddress,
): Promise<void> {
  const file = join(tree, REPOSITORY_FILE);
  const document = parseDocument(await readFile(file, "utf8"));
  document.setIn(["data", "repoURL"], repoURL);
  document.setIn(["data", "targetRevision"], targetRevision);
  await writeFile(file, document.toString({ lineWidth: 0 }));
}
