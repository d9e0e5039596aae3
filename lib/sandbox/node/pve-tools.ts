import { ApiError, type Method, ROOT } from "../calls.ts";
import type { SandboxContext } from "../hooks.ts";
import { complain, type Program, type Programs, write } from "../shell/index.ts";
import { type ContentType, parseVolumeId } from "../world/index.ts";
import { CliUsageError, parseCli, printLine, sayFailure, sortedJson } from "./cli.ts";

/** The storage manager's, and the other tools of the node that the tasks use. */
export function pveTools(context: SandboxContext): Programs {
  return { pvesm: pvesm(context), pvesh: pvesh(context), pveversion: pveversion(context) };
}

interface StorageRow {
  readonly storage: string;
  readonly type: string;
  readonly active: number;
  readonly total: number;
  readonly used: number;
  readonly avail: number;
}

function pvesm(context: SandboxContext): Program {
  const { dispatch, world } = context;
  return async (process) => {
    const [command = "", ...rest] = process.args;
    const api = async (path: string, params: Readonly<Record<string, string>> = {}): Promise<unknown> =>
      (await dispatch({ method: "GET", path: `/nodes/${world.node}${path}`, params, caller: ROOT })).data;
    const usages: Record<string, string> = {
      status: "pvesm status  [OPTIONS]",
      path: "pvesm path <volume>",
      list: "pvesm list <storage> [OPTIONS]",
      set: "pvesm set <storage> [OPTIONS]",
    };
    try {
      if (command === "status") {
        const known = ["storage", "content", "enabled", "target"];
        const { options } = parseCli(rest, { positionals: 0, known: (name) => known.includes(name) });
        if (options.storage !== undefined) await api(`/storage/${options.storage}/status`);
        await write(process.stdout, statusTable((await api("/storage", options)) as StorageRow[]));
        return 0;
      }
      if (command === "path") {
        const { positionals } = parseCli(rest, { positionals: 1, known: () => false });
        const [volume = ""] = positionals;
        if (parseVolumeId(volume) === undefined) {
          throw new CliUsageError(
            `400 Parameter verification failed.\nvolume: invalid format - unable to parse volume ID '${volume}'\n`,
          );
        }
        await write(process.stdout, `${world.storages.locate(volume).path}\n`);
        return 0;
      }
      if (command === "list") {
        const known = ["content", "vmid"];
        const { positionals, options } = parseCli(rest, {
          positionals: 1,
          known: (name) => known.includes(name),
        });
        const rows = await api(`/storage/${positionals[0]}/content`, options);
        await write(process.stdout, contentTable(rows as ContentRow[]));
        return 0;
      }
      if (command === "set") {
        const { positionals, options } = parseCli(rest, {
          positionals: 1,
          known: (name) => name === "content",
        });
        const content = (options.content ?? "").split(",").filter((type) => type !== "");
        world.storages.setContent(positionals[0] ?? "", content as ContentType[]);
        return 0;
      }
      await write(process.stderr, `ERROR: unknown command 'pvesm ${command}'\n`);
      return 255;
    } catch (error) {
      return await sayFailure(process, error, usages[command] ?? "");
    }
  };
}

function statusTable(rows: readonly StorageRow[]): string {
  const width = Math.max(...rows.map(({ storage }) => storage.length)) + 1;
  const line = (cells: readonly string[]): string => {
    const [name = "", type = "", status = "", total = "", used = "", avail = "", share = ""] = cells;
    return `${name.padEnd(width)} ${type.padStart(10)} ${status.padStart(10)} ${total.padStart(15)} ${used.padStart(15)} ${avail.padStart(15)} ${share.padStart(8)}\n`;
  };
  const kib = (bytes: number): string => String(Math.floor(bytes / 1024));
  const head = line(["Name", "Type", "Status", "Total (KiB)", "Used (KiB)", "Available (KiB)", "%"]);
  const sorted = rows.toSorted((a, b) => (a.storage < b.storage ? -1 : 1));
  return [
    head,
    ...sorted.map(({ storage, type, active, total, used, avail }) =>
      line([
        storage,
        type,
        active ? "active" : "inactive",
        kib(total),
        kib(used),
        kib(avail),
        `${(total === 0 ? 0 : (used / total) * 100).toFixed(2)}%`,
      ]),
    ),
  ].join("");
}

interface ContentRow {
  readonly volid: string;
  readonly format: string;
  readonly content: string;
  readonly size: number;
  readonly vmid?: number;
}

function contentTable(rows: readonly ContentRow[]): string {
  const volid = Math.max(5, ...rows.map((row) => row.volid.length));
  const size = Math.max(4, ...rows.map((row) => String(row.size).length));
  const line = (cells: readonly [string, string, string, string, string]): string =>
    `${cells[0].padEnd(volid)} ${cells[1].padEnd(7)} ${cells[2].padEnd(9)} ${cells[3].padStart(size)} ${cells[4]}`.trimEnd();
  const sorted = rows.toSorted((a, b) => (a.volid < b.volid ? -1 : 1));
  return [
    line(["Volid", "Format", "Type", "Size", "VMID"]),
    ...sorted.map((row) =>
      line([row.volid, row.format, row.content, String(row.size), String(row.vmid ?? "")]),
    ),
    "",
  ].join("\n");
}

/** pvesh's words for the API's methods. */
const METHODS: Readonly<Record<string, Method>> = {
  get: "GET",
  create: "POST",
  set: "PUT",
  delete: "DELETE",
};

/** `pvesh get PATH` and the like, for what has no tool of its own. Answers are JSON, never tables. */
function pvesh({ dispatch, world }: SandboxContext): Program {
  return async (process) => {
    const [command = "", path = "/", ...rest] = process.args;
    const method = Object.hasOwn(METHODS, command) ? METHODS[command] : undefined;
    if (method === undefined) {
      return await complain(
        process,
        `ERROR: the sandbox's pvesh knows ${Object.keys(METHODS).join(", ")}, not '${command}'`,
        255,
      );
    }
    try {
      const { options } = parseCli(rest, { positionals: 0, known: () => true });
      const { "output-format": format, ...params } = options;
      const onLog = (line: string): void => printLine(process, line);
      const { data, task } = await dispatch({ method, path, params, caller: ROOT, onLog });
      if (task !== undefined) await world.tasks.finished(task.upid);
      const text = format === "json" || typeof data === "object" ? sortedJson(data) : String(data);
      if (data !== null) await write(process.stdout, `${text}\n`);
      return 0;
    } catch (error) {
      // 501: nothing of that name.
      if (error instanceof ApiError && error.status === 501) {
        return await complain(process, `No '${command}' handler defined for '${path}'`);
      }
      return await sayFailure(process, error, `pvesh ${command} <api_path> [OPTIONS] [FORMAT_OPTIONS]`);
    }
  };
}

function pveversion({ world }: SandboxContext): Program {
  return async ({ stdout }) => {
    const { version, repoid } = world.version();
    await write(stdout, `pve-manager/${version}/${repoid} (running kernel: homelab-sandbox)\n`);
    return 0;
  };
}
