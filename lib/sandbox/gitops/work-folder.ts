import { chmodSync, existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

/** The repo server's own folder below its temporary one. */
const CLONES = "_argocd-repo";

/**
 * Remove what the repo server has cloned. It takes the permission to look at its clones even from itself while it does
 * not use them, so that nobody but root could remove them as they are.
 */
export function removeWorkFolder(folder: string): void {
  const clones = join(folder, CLONES);
  if (existsSync(clones)) {
    chmodSync(clones, 0o700);
    for (const name of readdirSync(clones)) chmodSync(join(clones, name), 0o700);
  }
  rmSync(folder, { recursive: true, force: true });
}
