import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { access, chmod, mkdir, readdir, rename, rm, stat, statfs, utimes } from "node:fs/promises";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { diskTools } from "./disk-tools.ts";
import { complain, type Process, type Program, type Programs, write } from "./program.ts";
import { absolute, demandAccess, reasonOf } from "./shell.ts";

/** The everyday programs of the node and the guests, as far as the tasks and people at the prompt need them. */
export const builtins: Programs = {
  ...diskTools,
  true: async () => 0,
  false: async () => 1,
  ":": async () => 0,
  umask: async () => 0,
  sync: async () => 0,
  echo: async ({ args, stdout }) => {
    await write(stdout, `${args.join(" ")}\n`);
    return 0;
  },
  cat: overFiles("cat", copy),
  sha256sum: overFiles("sha256sum", async ({ stdout }, from, path) => {
    const hash = createHash("sha256");
    for await (const chunk of from.iterator({ destroyOnReturn: false })) hash.update(chunk as Buffer);
    await write(stdout, `${hash.digest("hex")}  ${path}\n`);
  }),
  rm: async (process) => {
    const { options, paths } = split(process.args);
    const force = options.includes("f");
    let code = 0;
    for (const path of paths) {
      try {
        await rm(process.files.toHost(absolute(path)), { recursive: options.includes("r"), force });
      } catch (error) {
        code = await complain(process, `rm: cannot remove '${path}': ${reasonOf(error) ?? String(error)}`);
      }
    }
    return code;
  },
  mv: async (process) => {
    const [from = "", to = ""] = split(process.args).paths;
    return await attempt(process, `mv: cannot move '${from}' to '${to}'`, async () => {
      await rename(process.files.toHost(absolute(from)), process.files.toHost(absolute(to)));
    });
  },
  mkdir: async (process) => {
    const { options, paths } = split(process.args);
    let code = 0;
    for (const path of paths) {
      const failed = await attempt(process, `mkdir: cannot create directory '${path}'`, async () => {
        await mkdir(process.files.toHost(absolute(path)), { recursive: options.includes("p") });
      });
      code ||= failed;
    }
    return code;
  },
  touch: overPaths("touch: cannot touch", async (host) => {
    await pipeline([], createWriteStream(host, { flags: "a" }));
    await utimes(host, new Date(), new Date());
  }),
  chmod: async (process) => {
    const [mode = "", path = ""] = process.args;
    return await attempt(process, `chmod: cannot access '${path}'`, async () => {
      await chmod(process.files.toHost(absolute(path)), Number.parseInt(mode, 8));
    });
  },
  ls: async (process) => {
    const [path = "/root"] = split(process.args).paths;
    return await attempt(process, `ls: cannot access '${path}'`, async () => {
      const host = process.files.toHost(absolute(path));
      const names = (await stat(host)).isDirectory() ? (await readdir(host)).sort() : [path];
      if (names.length > 0) await write(process.stdout, `${names.join("\n")}\n`);
    });
  },
  stat: async (process) => {
    const [flag, format = "", path = ""] = process.args;
    if (flag !== "-c") return await complain(process, "stat: the sandbox knows -c FORMAT FILE");
    return await attempt(process, `stat: cannot statx '${path}'`, async () => {
      const { size, mode } = await stat(process.files.toHost(absolute(path)));
      const text = format.replaceAll("%s", String(size)).replaceAll("%a", (mode & 0o777).toString(8));
      await write(process.stdout, `${text}\n`);
    });
  },
  df: async (process) => {
    const [path = "/"] = split(process.args).paths;
    return await attempt(process, `df: ${path}`, async () => {
      const { bavail, bsize } = await statfs(process.files.toHost(absolute(path)));
      await write(process.stdout, `      Avail\n${bavail * bsize}\n`);
    });
  },
  test: async (process) => await test(process, process.args),
  "[": async (process) => await test(process, process.args.slice(0, -1)),
};

async function test({ files }: Process, args: readonly string[]): Promise<number> {
  const [operator, path = ""] = args;
  try {
    const info = await stat(files.toHost(absolute(path)));
    if (operator === "-e" || operator === "-r") return 0;
    if (operator === "-f") return info.isFile() ? 0 : 1;
    if (operator === "-d") return info.isDirectory() ? 0 : 1;
    return operator === "-s" && info.size > 0 ? 0 : 1;
  } catch {
    return 1;
  }
}

/** A program that reads each file it is given, or stdin when there is none. */
function overFiles(
  name: string,
  each: (process: Process, from: Readable, path: string) => Promise<void>,
): Program {
  return async (process) => {
    const { paths } = split(process.args);
    if (paths.length === 0) {
      await each(process, process.stdin, "-");
      return 0;
    }
    let code = 0;
    for (const path of paths) {
      try {
        const host = process.files.toHost(absolute(path));
        await access(host);
        await demandAccess(host, process.user, 4);
        await each(process, createReadStream(host), path);
      } catch (error) {
        const reason = reasonOf(error);
        if (reason === undefined) throw error;
        code = await complain(process, `${name}: ${path}: ${reason}`);
      }
    }
    return code;
  };
}

function overPaths(complaint: string, each: (host: string) => Promise<void>): Program {
  return async (process) => {
    let code = 0;
    for (const path of split(process.args).paths) {
      code ||= await attempt(process, `${complaint} '${path}'`, async () => {
        await each(process.files.toHost(absolute(path)));
      });
    }
    return code;
  };
}

/** Copy a stream to stdout without ending it, never faster than the other side reads. */
async function copy({ stdout }: Process, from: Readable): Promise<void> {
  try {
    // A channel's stdin and stdout are one stream: reading to the end must not close it.
    for await (const chunk of from.iterator({ destroyOnReturn: false })) {
      if (stdout.destroyed) {
        const { errored } = stdout;
        if (errored) throw errored;
        return;
      }
      await write(stdout, chunk as Buffer);
    }
  } catch (error) {
    // The client went away in the middle: what came stays, as on a real machine.
    if ((error as NodeJS.ErrnoException).code !== "ERR_STREAM_PREMATURE_CLOSE") throw error;
  }
}

async function attempt(process: Process, complaint: string, action: () => Promise<void>): Promise<number> {
  try {
    await action();
    return 0;
  } catch (error) {
    return await complain(process, `${complaint}: ${reasonOf(error) ?? String(error)}`);
  }
}

/** Single-letter options, and the rest; `--` ends the options. */
function split(args: readonly string[]): { options: string; paths: string[] } {
  const end = args.indexOf("--");
  const before = end < 0 ? args : args.slice(0, end);
  return {
    options: before.filter((arg) => /^-[a-zA-Z]+$/.test(arg)).join(""),
    paths: [...before.filter((arg) => !/^-./.test(arg)), ...(end < 0 ? [] : args.slice(end + 1))],
  };
}
