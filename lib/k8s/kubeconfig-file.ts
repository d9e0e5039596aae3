import { constants } from "node:fs";
import {
  chmod,
  copyFile,
  link,
  mkdir,
  open,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  writeFile,
} from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { messageOf, TaskError } from "../errors.ts";
import { pollUntil } from "../poll.ts";
import { processIdentity } from "../process-identity.ts";
import { formatMark, goesOn, parseMark, runMark } from "../run-mark.ts";

/** kubectl holds its own lock for milliseconds; one that stays is a crashed kubectl's. Ours say whose they are. */
const LOCK_PATIENCE_MS = 5000;

/** The text of a kubeconfig; undefined when there is no such file. */
export async function readKubeconfig(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new TaskError({
      what: `The kubeconfig ${file} cannot be read`,
      why: (error as Error).message,
      todo: ["Set KUBECONFIG to a file that is yours"],
      cause: error,
    });
  }
}

/**
 * Change a kubeconfig under the lock that kubectl takes, too. The file as it was is kept beside it; the new one appears
 * complete, with mode 0600.
 * @param change makes the new text of the old one; undefined leaves the file as it is
 * @returns the backup's path, when there was a file before and it was changed
 * @throws {TaskError} when it cannot be read or written
 */
export async function updateKubeconfig(
  file: string,
  change: (before: string | undefined) => string | undefined,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    return await update(file, change, signal);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof TaskError) throw error;
    throw new TaskError({
      what: `The kubeconfig ${file} cannot be written`,
      why: messageOf(error),
      todo: ["See to its folder and the disk, or set KUBECONFIG to a file that you may write"],
      left: ["The kubeconfig is as it was"],
      cause: error,
    });
  }
}

async function update(
  file: string,
  change: (before: string | undefined) => string | undefined,
  signal: AbortSignal,
): Promise<string | undefined> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  // A link stays a link: what it points at is changed.
  const target = await realpath(file).catch(() => file);
  const release = await lock(target, signal);
  try {
    await removeDrafts(target);
    const before = await readKubeconfig(target);
    const after = change(before);
    if (after === undefined || after === before) return undefined;
    const backup = before === undefined ? undefined : await keep(target);
    const draft = `${target}.${process.pid}.new`;
    const handle = await open(draft, "w", 0o600);
    try {
      await handle.writeFile(after);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(draft, target);
    return backup;
  } finally {
    await release();
  }
}

/** What runs that were killed have left beside it: it may hold credentials. */
async function removeDrafts(file: string): Promise<void> {
  for (const name of await readdir(dirname(file))) {
    if (!name.startsWith(`${basename(file)}.`)) continue;
    const [, pid] = /^\.(\d+)\.(?:new|lock|lock\.stale)$/.exec(name.slice(basename(file).length)) ?? [];
    if (pid === undefined || processIdentity(Number(pid)) !== undefined) continue;
    await rm(join(dirname(file), name), { force: true });
  }
}

async function keep(file: string): Promise<string> {
  const stamp = new Date().toISOString().replace(/[:.]/g, "-");
  const backup = `${file}.backup-${stamp}`;
  await copyFile(file, backup, constants.COPYFILE_EXCL);
  await chmod(backup, 0o600);
  return backup;
}

/** @see k8s.io/client-go/tools/clientcmd: lockFile */
async function lock(file: string, signal: AbortSignal): Promise<() => Promise<void>> {
  const path = `${file}.lock`;
  // It appears with our mark in it: nobody sees it without one.
  const mark = `${file}.${process.pid}.lock`;
  await writeFile(mark, formatMark(runMark()), { mode: 0o600 });
  try {
    return await take(file, path, mark, signal);
  } finally {
    await rm(mark, { force: true });
  }
}

async function take(
  file: string,
  path: string,
  mark: string,
  signal: AbortSignal,
): Promise<() => Promise<void>> {
  const patience = { timeoutMs: LOCK_PATIENCE_MS, everyMs: 100, signal };
  return await pollUntil(
    async () => {
      try {
        await link(mark, path);
        return { value: () => rm(path, { force: true }) };
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
        await removeStale(path, `${mark}.stale`);
        return { pending: `${path} exists` };
      }
    },
    patience,
    (pending) =>
      new TaskError({
        what: `The kubeconfig ${file} is being changed by another program`,
        why: pending,
        todo: ["When no kubectl is running, the lock is left over and can go:", `$ rm ${path}`],
        left: ["It was not changed"],
      }),
  );
}

/** Take away a lock whose run was killed. Somebody else may do so, too, and have it by now: theirs is put back. */
async function removeStale(path: string, aside: string): Promise<void> {
  if (!(await isStale(path))) return;
  await rename(path, aside).catch(() => {});
  if (!(await isStale(aside))) await link(aside, path).catch(() => {});
  await rm(aside, { force: true });
}

async function isStale(path: string): Promise<boolean> {
  const mark = parseMark(await readFile(path, "utf8").catch(() => ""));
  return mark !== undefined && goesOn(mark) === false;
}
