import * as v from "valibot";
import { TaskError } from "../../errors.ts";
import { registerSecret } from "../../secrets.ts";
import { quoteWords } from "../quote.ts";
import type { NodeShell } from "../ssh.ts";
import type { AccessChange } from "./changes.ts";

/** A token, right after it was made. */
export interface NewToken {
  /** "homelab@pve!tasks" */
  readonly id: string;
  readonly secret: string;
}

/** What carrying out needs of whoever runs it. */
export interface Carrying {
  readonly signal: AbortSignal;
  output(line: string): void;
  /** Told how to take back what was just done. */
  undo(description: string, action: () => Promise<void>): void;
}

const tokenSchema = v.object({
  "full-tokenid": v.string(),
  value: v.pipe(v.string(), v.regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)),
});

/**
 * Do one thing after another.
 * @returns the token that was made, if one was; its secret is registered and was shown nowhere
 * @throws {TaskError} with the node's own words
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
    // It is short and is not cut off: nobody would know whether it was done.
    const { stdout } = await shell.run(words);
    if (back !== undefined) undo(back.description, async () => void (await shell.run(back.words)));
    if (makesToken !== undefined) made = tokenIn(stdout);
  }
  return made;
}

/** @throws {TaskError} that does not quote the answer: a secret may be in it */
function tokenIn(answer: string): NewToken {
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), tokenSchema), answer.trim());
  if (parsed.success) {
    registerSecret(parsed.output.value);
    return { id: parsed.output["full-tokenid"], secret: parsed.output.value };
  }
  throw new TaskError({
    what: "The node has made a token and did not tell its secret in a form that is known",
    why: "pveum user token add --output-format json answered otherwise than Proxmox VE 8 and 9 do",
    todo: ["Proxmox VE 8 and 9 are supported; please report this"],
  });
}
