import { formatMark, runMark } from "../../run-mark.ts";
import { quoteWords } from "../quote.ts";
import type { NodeShell } from "../ssh.ts";

/** Beside a transferred file: which run has sent it last. */
const MARK_SUFFIX = ".run";

/** Say on the node which run a transferred file belongs to, before it is there. */
export async function markUpload(shell: NodeShell, path: string, signal: AbortSignal): Promise<void> {
  const mark = quoteWords(["echo", formatMark(runMark())]);
  await shell.runLine(`umask 077 && ${mark} > ${quoteWords([`${path}${MARK_SUFFIX}`])}`, { signal });
}

/** Remove a transferred file and its mark. */
export async function removeUpload(shell: NodeShell, path: string, signal: AbortSignal): Promise<void> {
  await shell.run(["rm", "-f", path, `${path}${MARK_SUFFIX}`], { signal });
}
