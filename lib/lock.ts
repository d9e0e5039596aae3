import { randomUUID } from "node:crypto";
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { messageOf, TaskError } from "./errors.ts";
import { processIdentity } from "./process-identity.ts";
import { formatMark, runMark } from "./run-mark.ts";

/** What `tryLock` came to: a lock to release, or the process that holds it, and its run as `formatMark` has it. */
export type LockAttempt =
  | { readonly held: true; release(): void }
  | { readonly held: false; readonly holder: number; readonly run: string };

/**
 * Take a lock file for this process, or say who has it. What a killed process has left is taken over.
 *
 * A lock that is no longer held is never removed, since between looking at it and removing it, it might have become
 * somebody's: it gets a successor, and the last one of such a chain holds the lock. A link is made by one process only,
 * so each lock has one successor. Whoever holds the lock makes itself the chain's only link.
 * @param file the lock file; its folder is made
 * @throws {TaskError} where it cannot be read or made, as when it is another user's
 */
export function tryLock(file: string): LockAttempt {
  try {
    return attempt(file);
  } catch (error) {
    throw new TaskError({
      what: `The lock ${file} cannot be used`,
      why: messageOf(error),
      todo: [
        "See whose it is; what another user has run here (with sudo, for example) may have left it:",
        `$ ls -la ${dirname(file)}`,
        "Where nothing of theirs runs any more, give it to yourself:",
        `$ sudo chown -R "$USER" ${dirname(file)}`,
      ],
      left: ["Nothing was changed"],
      cause: error,
    });
  }
}

function attempt(file: string): LockAttempt {
  const id = randomUUID();
  const mine = `${process.pid} ${processIdentity(process.pid)}\n${id}\n${formatMark(runMark())}\n`;
  // As long as this file is there and its process runs, the lock of the same id is held.
  const token = tokenOf(file, id);
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  writeFileSync(token, mine, { mode: 0o600 });
  try {
    for (;;) {
      const { text, place } = lastOf(file);
      if (text === mine) {
        becomeOnlyLink(file, token);
        return { held: true, release: () => rmSync(token, { force: true }) };
      }
      if (text !== undefined) {
        rmSync(token, { force: true });
        const [, , run = ""] = text.split("\n");
        return { held: false, holder: Number(text.split(" ", 1)[0]), run };
      }
      // The next look tells whether this was still the chain's end.
      link(token, place);
    }
  } catch (error) {
    rmSync(token, { force: true });
    throw error;
  }
}

/** The held lock at the end of a chain, or the place where the next one goes. */
function lastOf(file: string): { readonly text?: string; readonly place: string } {
  for (let place = file; ; ) {
    const text = readIfThere(place);
    if (text === undefined) return { place };
    const [owner = "", id = ""] = text.split("\n");
    const pid = Number(owner.split(" ", 1)[0]);
    const held = existsSync(tokenOf(file, id)) && owner === `${pid} ${processIdentity(pid)}`;
    if (held) return { text, place };
    place = `${file}.after.${id}`;
  }
}

function tokenOf(file: string, id: string): string {
  return `${file}.held.${id}`;
}

/** Replace the chain by its last link, which is ours, and sweep up what is left of it and of killed processes. */
function becomeOnlyLink(file: string, token: string): void {
  const mine = readIfThere(token);
  if (readIfThere(file) !== mine) {
    const draft = `${token}.draft`;
    link(token, draft);
    renameSync(draft, file);
  }
  for (const entry of readdirSync(dirname(file))) {
    const path = join(dirname(file), entry);
    if (entry.startsWith(`${basename(file)}.after.`)) rmSync(path, { force: true });
    if (!entry.startsWith(`${basename(file)}.held.`) || path === token) continue;
    const [owner = ""] = (readIfThere(path) ?? "").split("\n");
    const pid = Number(owner.split(" ", 1)[0]);
    if (owner !== "" && owner !== `${pid} ${processIdentity(pid)}`) rmSync(path, { force: true });
  }
}

function link(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    // What is there and cannot be read may be held: taken for nothing, it would be looked at for ever.
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return undefined;
  }
}
