import type { Check } from "../../lib/check/index.ts";
import type { Placeholder } from "../../lib/placeholders.ts";
import { finding, type Tree } from "./tree.ts";

/** What says TODO or CHANGEME is told; the tasks that need such a value refuse to run until it is filled in. */
export function placeholderCheck({ root }: Tree): Check {
  return {
    name: "placeholders",
    title: "No value is left to fill in",
    needs: [],
    async run() {
      const { scanPlaceholders } = await import("../../lib/placeholders.ts");
      const { placeholders, bad } = await scanPlaceholders(root);
      // What people fill in in a copy stays here, and what kustomize fills in is nobody's work.
      const here = placeholders.filter(({ filled }) => filled === "here");
      const lines = (word: Placeholder["word"]): string[] =>
        here.filter((each) => each.word === word).map(line);
      return [
        ...finding("warning", lines("CHANGEME"), [
          "Fill them in; the tasks that need one of them refuse to run until then",
        ]),
        ...finding("warning", lines("TODO"), ["Do them when you need them: nothing waits for them"]),
        ...finding(
          "failed",
          bad.map(({ file, line: at, words, advice }) => `${file}:${at}  ${words}: ${advice}`),
          ["Placeholders say TODO or CHANGEME, so that they are found"],
        ),
      ];
    },
  };
}

function line({ file, line: at, key, where, word }: Placeholder): string {
  const what = key === undefined ? word : `${key} says ${word}`;
  return `${file}:${at}  ${where === "comment" ? `a comment says ${word}` : what}`;
}
