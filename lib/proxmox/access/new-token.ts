import { isDeepStrictEqual } from "node:util";
import * as v from "valibot";
import { messageOf, TaskError } from "../../errors.ts";
import { CommandError } from "../../process.ts";
import { registerSecret } from "../../secrets.ts";
import type { NodeShell } from "../ssh.ts";
import { deleteToken, type MadeToken } from "./changes.ts";
import { tokenMark } from "./marks.ts";
import { tokensOf } from "./state.ts";

/** A token, right after it was made. */
export interface NewToken {
  /** "homelab@pve!tasks" */
  readonly id: string;
  readonly secret: string;
}

/** The form of a secret in answers of Proxmox VE. */
const SECRET = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/gi;

const tokenSchema = v.object({
  "full-tokenid": v.string(),
  value: v.pipe(v.string(), v.regex(new RegExp(`^${SECRET.source}$`))),
});

/**
 * Run the command that makes a token. Whatever it prints may have the secret in it, also where it fails: it is registered as it
 * comes, and no error quotes it.
 * @param words the command, whose answer is JSON
 * @throws {TaskError} where ssh fails, or the answer is not known
 * @throws {Error} where the command fails, with what it says on stderr
 */
export async function makeToken(shell: NodeShell, words: readonly string[]): Promise<NewToken> {
  try {
    const { stdout } = await shell.run(words, { onLine: registerSecretsIn });
    return tokenIn(stdout);
  } catch (error) {
    throw withoutAnswer(error);
  }
}

/** Take back a token that may have been made; one that somebody else has made in the meantime has another comment. */
export async function dropIfMade(shell: NodeShell, { user, token, comment }: MadeToken): Promise<void> {
  const mark = tokenMark(comment);
  const there = await tokensOf(shell, user);
  if (there.some((each) => each.name === token && isDeepStrictEqual(each.mark, mark)))
    await shell.run(deleteToken(user, token).words);
}

function registerSecretsIn(line: string): void {
  for (const [secret] of line.matchAll(SECRET)) registerSecret(secret);
}

/** The same failure without its cause, whose message is the answer where stderr is empty. */
function withoutAnswer(error: unknown): Error {
  if (error instanceof CommandError) {
    const { stderr, exitCode } = error;
    const end = `ended with ${exitCode === null ? "a signal" : `exit code ${exitCode}`}`;
    return new Error(stderr.trim() || `pveum user token add ${end} and gave no reason`);
  }
  if (!(error instanceof TaskError)) return new Error(messageOf(error));
  const { what, why, todo, left } = error;
  return new TaskError({ what, ...(why === undefined ? {} : { why }), todo, left });
}

function tokenIn(answer: string): NewToken {
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), tokenSchema), answer.trim());
  if (parsed.success) return { id: parsed.output["full-tokenid"], secret: parsed.output.value };
  throw new TaskError({
    what: "The node has made a token and did not tell its secret in a form that is known",
    why: "pveum user token add --output-format json answered otherwise than Proxmox VE 8 and 9 do",
    todo: ["Proxmox VE 8 and 9 are supported; please report this"],
  });
}
