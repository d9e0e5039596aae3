import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { TaskError } from "./errors.ts";
import { CommandError, childEnv, type RunResult, run } from "./process.ts";
import { temporaryFolder } from "./temporary.ts";

const TIMEOUT_MS = 60_000;
/** No git of ours holds a lock for as long. */
const LOCK_PATIENCE_MS = 3_000;

interface GitOptions {
  readonly cwd?: string;
  readonly signal?: AbortSignal;
}

/** git that never asks for a password: it fails instead. */
async function git(args: readonly string[], { cwd, signal }: GitOptions = {}): Promise<RunResult> {
  return await run("git", args, {
    env: childEnv({ GIT_TERMINAL_PROMPT: "0", GIT_ASKPASS: "true", SSH_ASKPASS: "true", LC_ALL: "C" }),
    timeoutMs: TIMEOUT_MS,
    ...(cwd === undefined ? {} : { cwd }),
    ...(signal === undefined ? {} : { signal }),
  });
}

/** What a repository has at a revision. */
export interface RemoteRevision {
  readonly commit: string;
  /** The text of the file that was asked for; undefined when that revision has no such file. */
  readonly file: string | undefined;
}

/**
 * Check that a repository can be read, and read one file of it as it is there.
 * @param url what `git clone` takes
 * @param revision a branch, a tag or a commit
 * @param path of a file in the repository
 * @throws {TaskError} when the repository or the revision cannot be read
 */
export async function readRemote(
  url: string,
  revision: string,
  path: string,
  signal?: AbortSignal,
): Promise<RemoteRevision> {
  const cwd = temporaryFolder("homelab-git");
  const options = { cwd, ...(signal === undefined ? {} : { signal }) };
  try {
    await git(["init", "--quiet", "--bare"], options);
    await git(["fetch", "--quiet", "--depth=1", "--no-tags", "--", url, revision], options);
    const { stdout } = await git(["rev-parse", "FETCH_HEAD"], options);
    const shown = await git(["show", `FETCH_HEAD:${path}`], options).catch(() => undefined);
    return { commit: stdout.trim(), file: shown?.stdout };
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    throw unreadable(url, revision, error);
  } finally {
    await rm(cwd, { recursive: true, force: true });
  }
}

/** Whether a file differs from what is committed. */
export async function isModified(tree: string, path: string): Promise<boolean> {
  try {
    return (await git(["status", "--porcelain", "--", path], { cwd: tree })).stdout !== "";
  } catch {
    // Not a working tree (a downloaded archive): nothing is committed there.
    return true;
  }
}

/**
 * The files below some paths that Git tracks.
 * @param tree a folder of the working tree, which the paths are relative to
 * @returns none outside of a repository
 * @throws {TaskError} when there is one and Git does not tell
 */
export async function trackedFiles(tree: string, paths: readonly string[]): Promise<string[]> {
  if (paths.length === 0) return [];
  try {
    const literal = paths.map((path) => `:(literal)${path}`);
    const { stdout } = await git(["ls-files", "-z", "--", ...literal], { cwd: tree });
    return stdout.split("\0").filter((path) => path !== "");
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    if (/not a git repository/.test(error.message)) return [];
    throw new TaskError({
      what: "Git does not tell what it tracks",
      why: error.message,
      todo: ["See what it says:", `$ git -C ${tree} status`],
      left: ["Nothing was removed"],
      cause: error,
    });
  }
}

/** Commit everything in a folder that is a repository of ours, if there is anything new. */
export async function commitAll(folder: string, message: string, signal?: AbortSignal): Promise<void> {
  const options = { cwd: folder, ...(signal === undefined ? {} : { signal }) };
  await removeLocks(join(folder, ".git"), signal);
  await git(["init", "--quiet", "--initial-branch=main"], options);
  await git(["add", "--all", "--force"], options);
  if ((await git(["status", "--porcelain"], options)).stdout === "") return;
  const author = ["-c", "user.name=homelab sandbox", "-c", "user.email=sandbox@localhost"];
  await git([...author, "-c", "commit.gpgsign=false", "commit", "--quiet", "-m", message], options);
}

/** Remove the locks of a git that was killed; one that is at work is done in a moment. */
async function removeLocks(folder: string, signal = new AbortController().signal): Promise<void> {
  const locks = ["index", "HEAD", "config", "refs/heads/main"]
    .map((name) => join(folder, `${name}.lock`))
    .filter((path) => existsSync(path));
  if (locks.length === 0) return;
  await sleep(LOCK_PATIENCE_MS, undefined, { signal });
  for (const path of locks) await rm(path, { force: true });
}

function unreadable(url: string, revision: string, error: CommandError): TaskError {
  const words = error.message;
  const missing = /couldn't find remote ref|not our ref|invalid refspec/i.test(words);
  if (error.exitCode === 127 || /git: (command )?not found/.test(words)) {
    return new TaskError({
      what: "Git is not installed",
      todo: ["$ sudo apt-get install git"],
      cause: error,
    });
  }
  return new TaskError({
    what: missing ? `${url} has no ${revision}` : `The Git repository ${url} cannot be read`,
    why: words,
    todo: missing
      ? ["Set GIT_REVISION to a branch, tag or commit that is pushed", `$ git ls-remote ${url}`]
      : [
          "Check GIT_REPO_URL, and that this machine may read it:",
          `$ git ls-remote ${url}`,
          "Argo CD has to read it too: for a private repository it needs credentials of its own (argocd repo add)",
        ],
    cause: error,
  });
}
