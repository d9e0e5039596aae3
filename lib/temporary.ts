import { createHash } from "node:crypto";
import { appendFileSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { processIdentity } from "./process-identity.ts";

/** In such a folder: the processes beside its maker that need it, a pid and an identity a line. */
const USERS = ".users";

/** The form of such a folder's name: what it is for, its maker's process, its maker's machine. */
const NAME = /^(?:homelab|hl)-[a-z]+-(\d+)-(\d+)-([0-9a-f]{4})-\w{6}$/;

/** Machines and containers may share a temporary folder, but not their processes' numbers. */
const HOST = createHash("sha256").update(hostname()).digest("hex").slice(0, 4);

/** A folder of a process that is gone, which another process still needs. */
export interface NeededFolder {
  readonly path: string;
  /** The processes that need it. */
  readonly pids: readonly number[];
}

/**
 * Make a folder of our own in the system's temporary one; nobody else can read it. Its name tells which process has made
 * it, so that what a killed process has left goes when the next one makes a folder.
 * @param kind what it is for: "homelab-tofu"; "hl-ssh" where the path has to be short
 */
export function temporaryFolder(kind: `${"homelab" | "hl"}-${string}`): string {
  removeLeft();
  // mkdtemp makes it with mode 0700.
  return mkdtempSync(join(tmpdir(), `${kind}-${process.pid}-${digitsOf(process.pid)}-${HOST}-`));
}

/** Say that a process we have started needs a folder, even when we are gone. */
export function lendFolder(folder: string, pid: number): void {
  appendFileSync(join(folder, USERS), `${pid} ${processIdentity(pid) ?? ""}\n`, { mode: 0o600 });
}

/** The folders whose makers are gone, while what these have started still needs them. */
export function neededFolders(): NeededFolder[] {
  return leftFolders().flatMap((path) => {
    const pids = usersOf(path);
    return pids.length === 0 ? [] : [{ path, pids }];
  });
}

function removeLeft(): void {
  for (const path of leftFolders()) {
    if (usersOf(path).length > 0) continue;
    try {
      rmSync(path, { recursive: true, force: true });
    } catch {
      // Somebody else is removing it, too.
    }
  }
}

/** Folders of ours whose maker is gone. */
function leftFolders(): string[] {
  return readdirSync(tmpdir()).flatMap((name) => {
    const [, pid, digits, host] = NAME.exec(name) ?? [];
    if (pid === undefined || host !== HOST || digitsOf(Number(pid)) === digits) return [];
    const path = join(tmpdir(), name);
    try {
      const { uid } = lstatSync(path);
      return uid === process.getuid?.() ? [path] : [];
    } catch {
      return [];
    }
  });
}

function usersOf(folder: string): number[] {
  try {
    return readFileSync(join(folder, USERS), "utf8")
      .split("\n")
      .flatMap((line) => {
        const pid = Number(line.split(" ", 1)[0]);
        return pid > 0 && line === `${pid} ${processIdentity(pid)}` ? [pid] : [];
      });
  } catch {
    return [];
  }
}

/** What stays the same for a process and differs from a later one with its number, in a form for names of files. */
function digitsOf(pid: number): string {
  return /\d+$/.exec(processIdentity(pid) ?? "")?.[0] ?? "0";
}
