import { join } from "node:path";
import { holding } from "../../lib/task/index.ts";
import type { Build } from "./packer.ts";

/**
 * Build an image while nobody else builds it in this clone: they would work in the same folders, and on the same VM.
 * @throws {TaskError} saying who is at it, and since when
 */
export async function aloneWith(
  { root, name }: Pick<Build, "root" | "name">,
  action: () => Promise<void>,
): Promise<void> {
  const file = join(root, ".homelab", "locks", `build-${name}.lock`);
  await holding(file, `The image ${name} is being built already`, action);
}
