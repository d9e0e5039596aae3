import type { Check, Finding } from "../../lib/check/index.ts";
import { formatChecks, validityChecks } from "./hcl.ts";
import { lintChecks } from "./lint.ts";
import { manifestChecks } from "./manifests.ts";
import { placeholderCheck } from "./placeholders.ts";

/** What the checks of the tree share. */
export interface Tree {
  /** The repository's folder. */
  readonly root: string;
  /** Its files, without what Git ignores. */
  readonly files: readonly string[];
}

/** Checks of what is in the repository. Each gets the tools it needs by itself; none changes a file. */
export async function treeChecks(root: string): Promise<Check[]> {
  const { treeFiles } = await import("../../lib/lint/index.ts");
  const tree: Tree = { root, files: await treeFiles(root) };
  return [
    ...formatChecks(tree),
    ...(await validityChecks(tree)),
    ...(await manifestChecks(tree)),
    ...lintChecks(tree),
    placeholderCheck(tree),
  ];
}

/** One finding for lines that are mended in the same way; none without lines. */
export function finding(
  state: Finding["state"],
  lines: readonly string[],
  fix: readonly string[],
): Finding[] {
  return lines.length === 0 ? [] : [{ state, evidence: lines.join("\n"), fix }];
}
