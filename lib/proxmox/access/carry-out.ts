import { quoteWords } from "../quote.ts";
import type { NodeShell } from "../ssh.ts";
import type { AccessChange } from "./changes.ts";
import { dropIfMade, makeToken, type NewToken } from "./new-token.ts";

/** What carrying out needs of whoever runs it. */
export interface Carrying {
  readonly signal: AbortSignal;
  output(line: string): void;
  /** Told how to take back what was just done. */
  undo(description: string, action: () => Promise<void>): void;
}

/**
 * Do one thing after another.
 * @returns the token that was made, if one was; its secret is registered and was shown nowhere
 * @throws {Error} with the node's own words, but for those that may have a secret in them
 */
export async function carryOut(
  shell: NodeShell,
  changes: readonly AccessChange[],
  { signal, output, undo }: Carrying,
): Promise<NewToken | undefined> {
  let made: NewToken | undefined;
  for (const { words, undo: back, makesToken } of changes) {
    signal.throwIfAborted();
    output(quoteWords(words));
    const takenBack = async (): Promise<void> => void (back && (await shell.run(back.words)));
    try {
      // It is short and is not cut off: nobody would know whether it was done.
      if (makesToken === undefined) await shell.run(words);
      else made = await makeToken(shell, words);
    } catch (error) {
      // It may fail after its work, and a token whose secret nobody has must not stay.
      if (makesToken !== undefined && back !== undefined)
        undo(`${back.description}, if it was made`, async () => await dropIfMade(shell, makesToken));
      throw error;
    }
    if (back !== undefined) undo(back.description, takenBack);
  }
  return made;
}
