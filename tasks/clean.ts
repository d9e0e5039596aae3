import {
  type BuildOutput,
  findBuildOutputs,
  type Kept,
  removeBuildOutput,
} from "../lib/build-outputs/index.ts";
import { formatBytes } from "../lib/progress.ts";
import { defineCommand, main, type Step } from "../lib/task/index.ts";

/**
 * Remove what builds have left in the working tree. State, settings, the sandbox's world and whatever the tasks have not
 * made are none of it.
 */
export function cleanSteps(root: string, done: (removed: readonly BuildOutput[]) => void): Step[] {
  let outputs: readonly BuildOutput[] = [];
  return [
    {
      title: "Look for build outputs",
      async run({ note }) {
        const found = await findBuildOutputs(root);
        outputs = found.outputs;
        if (outputs.length > 0) note(listing(outputs, found.kept).join("\n"));
      },
    },
    {
      title: "Remove them",
      skip: () => outputs.length === 0 && "there are none",
      async run({ confirm, output, signal }) {
        if (!(await confirm(question(outputs)))) return;
        const removed: BuildOutput[] = [];
        try {
          for (const each of outputs) {
            signal.throwIfAborted();
            output(each.path);
            await removeBuildOutput(root, each);
            removed.push(each);
          }
        } finally {
          done(removed);
        }
      },
    },
  ];
}

function question(outputs: readonly BuildOutput[]): string {
  const what = outputs.length === 1 ? "this build output" : `these ${outputs.length} build outputs`;
  return `Remove ${what} (${formatBytes(total(outputs))})?`;
}

/** What would go, with its size, and what beside it would stay. */
function listing(outputs: readonly BuildOutput[], kept: readonly Kept[]): string[] {
  const rows = outputs.map(({ path, what, bytes }) => [formatBytes(bytes), what, path] as const);
  const size = Math.max(...rows.map(([text]) => text.length));
  const kind = Math.max(...rows.map(([, text]) => text.length));
  return [
    ...rows.map(([bytes, what, path]) => `${bytes.padStart(size)}  ${what.padEnd(kind)}  ${path}`),
    ...kept.map(({ path, why }) => `stays: ${path} (${why})`),
  ];
}

function total(outputs: readonly BuildOutput[]): number {
  return outputs.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** The same for machines: what was in a folder is not listed file by file. */
function data(outputs: readonly BuildOutput[]): Record<string, unknown>[] {
  return outputs.map(({ path, what, bytes, files }) => ({ path, what, bytes, files: files.length }));
}

const command = defineCommand({
  name: "clean",
  summary:
    "Remove local build outputs: OpenTofu's provider and modules, images, pulled charts, logs; asks first",
  ownDryRun: true,
  async run({ flags, root, result, steps }) {
    if (flags.dryRun) {
      const { outputs, kept } = await findBuildOutputs(root);
      const lines =
        outputs.length === 0
          ? ["There is nothing to remove"]
          : [`Nothing is removed (--dry-run). This would be (${formatBytes(total(outputs))}):`];
      const rows = outputs.length === 0 ? [] : listing(outputs, kept).map((line) => `  ${line}`);
      return result([...lines, ...rows].join("\n"), { dryRun: true, outputs: data(outputs), kept });
    }
    let removed: readonly BuildOutput[] = [];
    await steps(
      cleanSteps(root, (outputs) => {
        removed = outputs;
      }),
    );
    const lines = removed.map(({ path, bytes }) => `removed ${path} (${formatBytes(bytes)})`);
    result(removed.length === 0 ? "Nothing was removed" : lines.join("\n"), { removed: data(removed) });
  },
});

await main(import.meta.url, command);
