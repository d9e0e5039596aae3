import { isImageName } from "../../image-name.ts";
import { goesOn, parseMark } from "../../run-mark.ts";
import { quoteWords } from "../quote.ts";
import type { NodeShell } from "../ssh.ts";
import { LOCK_TAKEN, SshWay, UPLOAD_FOLDER } from "../upload/index.ts";
import { GONE, type Leftover, LOCK_HELD } from "./leftover.ts";
import { imageOfFile } from "./sent-file.ts";

/** What root finds on the node: images that were sent, whole or in part, and what marked images that are gone. */
export async function leftoversBySsh(shell: NodeShell, signal: AbortSignal): Promise<Leftover[]> {
  const files = await filesThere(shell, signal);
  const images = files.flatMap((file) => {
    const name = imageOfFile(file);
    return name === undefined ? [] : [{ name, path: `${UPLOAD_FOLDER}/${file}` }];
  });
  const marked = [...new Set(files.flatMap((file) => imageOfMark(file) ?? []))];
  const found = await Promise.all([
    ...images.map(async ({ name, path }) => await sentImage(shell, name, path, signal)),
    ...marked.map(async (name) => await strayMarks(shell, name, files, signal)),
  ]);
  return found.filter((each) => each !== undefined);
}

/** Whether somebody uploads an image of this name over SSH now. */
export async function isUploadLocked(shell: NodeShell, name: string, signal: AbortSignal): Promise<boolean> {
  const lock = `${UPLOAD_FOLDER}/${name}.lock`;
  const line = `test -e ${quoteWords([lock])} && flock -n -E ${LOCK_TAKEN} ${quoteWords([lock])} true`;
  const { exitCode } = await shell.runLine(line, { signal, allow: [0, 1, LOCK_TAKEN] });
  return exitCode === LOCK_TAKEN;
}

async function filesThere(shell: NodeShell, signal: AbortSignal): Promise<string[]> {
  const folder = quoteWords([UPLOAD_FOLDER]);
  const { stdout } = await shell.runLine(`test -d ${folder} && ls ${folder} || true`, { signal });
  return stdout.split("\n").filter((file) => file !== "");
}

async function sentImage(
  shell: NodeShell,
  name: string,
  path: string,
  signal: AbortSignal,
): Promise<Leftover> {
  const [size, mark, locked] = await Promise.all([
    sizeOf(shell, path, signal),
    markOf(shell, path, signal),
    isUploadLocked(shell, name, signal),
  ]);
  const run = parseMark(mark);
  const here = run !== undefined && goesOn(run) === true ? `process ${run.pid} is at it` : undefined;
  return {
    kind: "sent image",
    name: path,
    bytes: size,
    run,
    busy: locked ? LOCK_HELD : here,
    remove: async (aborted) =>
      await underLock(shell, name, aborted, async () => {
        const now = await sizeOf(shell, path, aborted);
        if (now === undefined) return GONE;
        if (now !== size || (await markOf(shell, path, aborted)) !== mark)
          return "an upload has gone on with it since it was looked at";
        await new SshWay(shell).remove(path, aborted);
        return undefined;
      }),
  };
}

/** Marks of a name whose images are gone: killed runs leave them. With an image they go when it goes. */
async function strayMarks(
  shell: NodeShell,
  name: string,
  files: readonly string[],
  signal: AbortSignal,
): Promise<Leftover | undefined> {
  const stray = strayOf(name, files);
  if (stray.length === 0 || (await isUploadLocked(shell, name, signal))) return undefined;
  return {
    kind: "marks of an upload",
    name: stray.map((file) => `${UPLOAD_FOLDER}/${file}`).join(", "),
    busy: undefined,
    remove: async (aborted) =>
      await underLock(shell, name, aborted, async () => {
        const now = strayOf(name, await filesThere(shell, aborted)).filter((file) => file.endsWith(".run"));
        for (const mark of now)
          await new SshWay(shell).remove(`${UPLOAD_FOLDER}/${mark.replace(/\.run$/, "")}`, aborted);
        // The lock's own files go when it is released.
        return undefined;
      }),
  };
}

/** The marks of a name that mark nothing: those of files that are gone, and the lock where no file of the name is left. */
function strayOf(name: string, files: readonly string[]): string[] {
  const hasImage = files.some((file) => imageOfFile(file) === name);
  return files.filter(
    (file) =>
      imageOfMark(file) === name &&
      (file.endsWith(".run") ? !files.includes(file.replace(/\.run$/, "")) : !hasImage),
  );
}

/** The image that a file marks: that of an upload's mark or lock. */
function imageOfMark(file: string): string | undefined {
  const [, locked] = /^(.+)\.lock(?:\.by)?$/.exec(file) ?? [];
  if (locked !== undefined) return isImageName(locked) ? locked : undefined;
  return file.endsWith(".run") ? imageOfFile(file.replace(/\.run$/, "")) : undefined;
}

/** Do something while nobody can upload an image of a name. */
async function underLock(
  shell: NodeShell,
  name: string,
  signal: AbortSignal,
  action: () => Promise<string | undefined>,
): Promise<string | undefined> {
  if (await isUploadLocked(shell, name, signal)) return LOCK_HELD;
  const lock = await new SshWay(shell).lock(name, signal);
  try {
    return await action();
  } finally {
    await lock.release();
  }
}

async function sizeOf(shell: NodeShell, path: string, signal: AbortSignal): Promise<number | undefined> {
  const { stdout } = await shell.runLine(`${quoteWords(["stat", "-c", "%s", path])} 2>/dev/null || true`, {
    signal,
  });
  return stdout.trim() === "" ? undefined : Number(stdout.trim());
}

async function markOf(shell: NodeShell, path: string, signal: AbortSignal): Promise<string> {
  const { stdout } = await shell.runLine(`cat ${quoteWords([`${path}.run`])} 2>/dev/null || true`, {
    signal,
  });
  return stdout.trim();
}
