import { constants, type Stats } from "node:fs";
import { type FileHandle, lstat, mkdir, open, opendir, rename, rm, rmdir, stat } from "node:fs/promises";
import { posix } from "node:path";
import type { Attributes, SFTPWrapper } from "ssh2";
import ssh2 from "ssh2";
import { noSpace } from "../shell/index.ts";
import type { NodeFiles } from "../world/index.ts";

const { OPEN_MODE, STATUS_CODE } = ssh2.utils.sftp;

/** Serve the SFTP protocol (scp uses it, too) below a machine's root; paths are the machine's. */
export function serveSftp(sftp: SFTPWrapper, files: NodeFiles): void {
  const open_ = new Map<number, FileHandle | string[]>();
  /** How many bytes a file may come to hold, where that is limited. */
  const rooms = new WeakMap<FileHandle, number>();
  let next = 0;
  const keep = (what: FileHandle | string[]): Buffer => {
    const handle = Buffer.alloc(4);
    handle.writeUInt32BE(next);
    open_.set(next, what);
    next += 1;
    return handle;
  };
  const fileOf = (handle: Buffer): FileHandle => {
    const file = open_.get(handle.readUInt32BE(0));
    if (file === undefined || Array.isArray(file)) throw new Error("not an open file");
    return file;
  };
  let last = Promise.resolve();
  /**
   * Answers with a status when the action fails. One after another: scp cuts a file off where an answer overtakes the
   * one before it (OpenSSH's own server never does that).
   */
  const attempt = (id: number, action: () => Promise<void>): void => {
    last = last.then(action).catch((error: unknown) => {
      const { code } = error as NodeJS.ErrnoException;
      const status =
        code === "ENOENT"
          ? STATUS_CODE.NO_SUCH_FILE
          : code === "EACCES"
            ? STATUS_CODE.PERMISSION_DENIED
            : STATUS_CODE.FAILURE;
      sftp.status(id, status, error instanceof Error ? error.message : undefined);
    });
  };
  const ok = (id: number): void => {
    sftp.status(id, STATUS_CODE.OK);
  };
  const host = (path: string): string => files.toHost(posix.resolve("/root", path));

  sftp.on("REALPATH", (id, path) =>
    attempt(id, async () => {
      const filename = posix.resolve("/root", path);
      sftp.name(id, [{ filename, longname: filename, attrs: attributes(undefined) }]);
    }),
  );
  sftp.on("STAT", (id, path) => attempt(id, async () => sftp.attrs(id, attributes(await stat(host(path))))));
  sftp.on("LSTAT", (id, path) =>
    attempt(id, async () => sftp.attrs(id, attributes(await lstat(host(path))))),
  );
  sftp.on("FSTAT", (id, handle) =>
    attempt(id, async () => sftp.attrs(id, attributes(await fileOf(handle).stat()))),
  );
  sftp.on("SETSTAT", (id) => attempt(id, async () => ok(id)));
  sftp.on("FSETSTAT", (id) => attempt(id, async () => ok(id)));
  sftp.on("OPEN", (id, path, flags) =>
    attempt(id, async () => {
      const file = await open(host(path), openFlags(flags), 0o600);
      const room =
        openFlags(flags) === constants.O_RDONLY ? undefined : files.roomFor(posix.resolve("/root", path));
      if (room !== undefined) rooms.set(file, room);
      sftp.handle(id, keep(file));
    }),
  );
  sftp.on("READ", (id, handle, offset, length) =>
    attempt(id, async () => {
      const { bytesRead, buffer } = await fileOf(handle).read(Buffer.alloc(length), 0, length, offset);
      if (bytesRead === 0) sftp.status(id, STATUS_CODE.EOF);
      else sftp.data(id, buffer.subarray(0, bytesRead));
    }),
  );
  sftp.on("WRITE", (id, handle, offset, data) =>
    attempt(id, async () => {
      const file = fileOf(handle);
      const room = Math.max(0, (rooms.get(file) ?? Number.POSITIVE_INFINITY) - offset);
      await file.write(data, 0, Math.min(data.length, room), offset);
      if (room < data.length) throw noSpace();
      ok(id);
    }),
  );
  sftp.on("OPENDIR", (id, path) =>
    attempt(id, async () => {
      const names: string[] = [];
      for await (const entry of await opendir(host(path))) names.push(posix.join(path, entry.name));
      sftp.handle(id, keep(names));
    }),
  );
  sftp.on("READDIR", (id, handle) =>
    attempt(id, async () => {
      const names = open_.get(handle.readUInt32BE(0));
      if (!Array.isArray(names) || names.length === 0) {
        sftp.status(id, STATUS_CODE.EOF);
        return;
      }
      const entries = names.splice(0, 100).map(async (path) => ({
        path,
        stats: await lstat(host(path)),
      }));
      sftp.name(
        id,
        (await Promise.all(entries)).map(({ path, stats }) => ({
          filename: posix.basename(path),
          longname: longName(posix.basename(path), stats),
          attrs: attributes(stats),
        })),
      );
    }),
  );
  sftp.on("CLOSE", (id, handle) =>
    attempt(id, async () => {
      const number = handle.readUInt32BE(0);
      const what = open_.get(number);
      open_.delete(number);
      if (what !== undefined && !Array.isArray(what)) await what.close();
      ok(id);
    }),
  );
  sftp.on("REMOVE", (id, path) => attempt(id, async () => rm(host(path)).then(() => ok(id))));
  sftp.on("RENAME", (id, from, to) =>
    attempt(id, async () => rename(host(from), host(to)).then(() => ok(id))),
  );
  sftp.on("MKDIR", (id, path) => attempt(id, async () => mkdir(host(path)).then(() => ok(id))));
  sftp.on("RMDIR", (id, path) => attempt(id, async () => rmdir(host(path)).then(() => ok(id))));
  // The client has nothing more to ask: without an answer it would wait for ever.
  sftp.on("end", () => endWell(sftp));
  sftp.on("close", () => {
    for (const what of open_.values()) if (!Array.isArray(what)) void what.close().catch(() => {});
  });
}

/**
 * End the channel as sshd does. ssh2 closes it without an exit status, and scp takes that for a failure; there is no
 * public way to send one.
 */
function endWell(sftp: SFTPWrapper): void {
  const { outgoing, _protocol: protocol } = sftp as unknown as {
    readonly outgoing: { readonly id: number };
    readonly _protocol: { exitStatus(channel: number, code: number): void };
  };
  protocol.exitStatus(outgoing.id, 0);
  sftp.end();
}

/** A line as `ls -l` has it: clients show it as it is. */
function longName(name: string, stats: Stats): string {
  const kind = stats.isDirectory() ? "d" : stats.isSymbolicLink() ? "l" : "-";
  const bits = [...(stats.mode & 0o777).toString(2).padStart(9, "0")];
  const mode = bits.map((bit, at) => (bit === "1" ? ("rwx"[at % 3] ?? "") : "-")).join("");
  const [, month = "", day = "", time = ""] =
    /^\w+ (\w+) (\d+) \d+ (\d+:\d+)/.exec(stats.mtime.toString()) ?? [];
  return `${kind}${mode}    1 root     root     ${String(stats.size).padStart(8)} ${month} ${day.replace(/^0/, " ")} ${time} ${name}`;
}

function openFlags(flags: number): number {
  const reads = (flags & OPEN_MODE.READ) !== 0;
  const writes = (flags & OPEN_MODE.WRITE) !== 0;
  let result = reads && writes ? constants.O_RDWR : writes ? constants.O_WRONLY : constants.O_RDONLY;
  if ((flags & OPEN_MODE.CREAT) !== 0) result |= constants.O_CREAT;
  if ((flags & OPEN_MODE.TRUNC) !== 0) result |= constants.O_TRUNC;
  if ((flags & OPEN_MODE.EXCL) !== 0) result |= constants.O_EXCL;
  if ((flags & OPEN_MODE.APPEND) !== 0) result |= constants.O_APPEND;
  return result;
}

function attributes(stats: Stats | undefined): Attributes {
  return {
    mode: Number(stats?.mode ?? 0o755),
    uid: 0,
    gid: 0,
    size: Number(stats?.size ?? 0),
    atime: Math.floor(Number(stats?.atimeMs ?? 0) / 1000),
    mtime: Math.floor(Number(stats?.mtimeMs ?? 0) / 1000),
  };
}
