import { existsSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { join, relative } from "node:path";
import { defineCommand, main, type Step } from "../lib/task/index.ts";

/** Folders that tools make below these roots, and that they make again when they need them. */
const MADE = [
  { below: "terraform", name: ".terraform" },
  { below: "packer", name: "output" },
  { below: "packer", name: "packer_cache" },
  { below: "k8s", name: "charts" },
] as const;

/** Remove what builds have left in the working tree. State, settings and the sandbox's world are none of it. */
export function cleanSteps(root: string, done: (removed: readonly string[]) => void): Step[] {
  let found: string[] = [];
  return [
    {
      title: "Look for build outputs",
      async run({ note }) {
        found = (
          await Promise.all(MADE.map(({ below, name }) => foldersCalled(join(root, below), name)))
        ).flat();
        for (const folder of found) note(relative(root, folder));
      },
    },
    {
      title: "Remove them",
      skip: () => found.length === 0 && "there are none",
      async run({ confirm }) {
        if (!(await confirm(`Remove ${found.length} folders?`))) return done([]);
        for (const folder of found) await rm(folder, { recursive: true, force: true });
        done(found.map((folder) => relative(root, folder)));
      },
    },
  ];
}

async function foldersCalled(folder: string, name: string): Promise<string[]> {
  if (!existsSync(folder)) return [];
  const entries = await readdir(folder, { withFileTypes: true });
  const found = await Promise.all(
    entries
      .filter((entry) => entry.isDirectory())
      .map(async (entry) => {
        const path = join(folder, entry.name);
        return entry.name === name ? [path] : await foldersCalled(path, name);
      }),
  );
  return found.flat();
}

const command = defineCommand({
  name: "clean",
  summary: "Remove local build outputs: .terraform, Packer's output, charts that were pulled",
  async run(context) {
    let removed: readonly string[] = [];
    await context.steps(
      cleanSteps(context.root, (folders) => {
        removed = folders;
      }),
    );
    context.result(
      removed.length === 0 ? "Nothing was removed" : removed.map((each) => `removed ${each}`).join("\n"),
      {
        removed,
      },
    );
  },
});

await main(import.meta.url, command);
