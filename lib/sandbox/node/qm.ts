import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname } from "node:path/posix";
import { type ApiAnswer, failure, type Method, ROOT } from "../calls.ts";
import type { SandboxContext } from "../hooks.ts";
import { importDisk } from "../operations/index.ts";
import { isVmOption, routeSchema } from "../schema/index.ts";
import { type Process, type Program, write } from "../shell/index.ts";
import {
  CliUsageError,
  type CommandLine,
  type ExitCodes,
  parseCli,
  perlJson,
  printLine,
  sayFailure,
} from "./cli.ts";
import { configLines, listTable, pendingLines, statusLines } from "./qm-print.ts";

/** One command of qm: a call of the API, and how its answer is shown. */
interface Command {
  readonly usage: string;
  /** How many words it needs. */
  readonly words: number;
  /** The API's route, whose parameters are the command's options; "{vmid}" is the first word. */
  readonly route?: { readonly method: Method; readonly path: string };
  readonly options?: readonly string[];
  readonly exitCodes?: ExitCodes;
  run(call: Call): Promise<number>;
}

interface Call extends CommandLine {
  readonly process: Process;
  readonly context: SandboxContext;
  /** Call the API below /nodes/NODE/qemu; logs go to stdout. */
  api(
    method: Method,
    path: string,
    params?: Readonly<Record<string, string | readonly string[]>>,
  ): Promise<ApiAnswer>;
  print(text: string): Promise<number>;
}

/** Proxmox's VM tool on the node: each command is a call of the API as root@pam, as on a real node. */
export function qm(context: SandboxContext): Program {
  return async (process) => {
    const { name, command, rest } = find(process.args);
    if (command === undefined) {
      await write(process.stderr, `ERROR: unknown command 'qm ${process.args[0] ?? ""}'\n`);
      return 255;
    }
    const usage = `qm ${command.usage}`;
    try {
      // What follows "--" belongs to the guest.
      const end = name === "guest exec" ? rest.indexOf("--") : -1;
      const own = end < 0 ? rest : [...rest.slice(0, end), ...rest.slice(end + 1).slice(0, 1)];
      const line = parseCli(own, { positionals: command.words, known: optionsOf(command) });
      const positionals = end < 0 ? line.positionals : [line.positionals[0] ?? "", ...rest.slice(end + 1)];
      return await command.run({ ...line, positionals, process, context, ...tools(process, context) });
    } catch (error) {
      return await sayFailure(process, error, usage, command.exitCodes);
    }
  };
}

function tools(process: Process, { dispatch, world }: SandboxContext): Pick<Call, "api" | "print"> {
  const base = `/nodes/${world.node}/qemu`;
  return {
    api: async (method, path, params = {}) =>
      await dispatch({
        method,
        path: `${base}${path}`,
        params,
        caller: ROOT,
        onLog: (line) => printLine(process, line),
      }),
    print: async (text) => {
      await write(process.stdout, text);
      return 0;
    },
  };
}

function find(args: readonly string[]): {
  name: string;
  command: Command | undefined;
  rest: readonly string[];
} {
  const [one = "", two = ""] = args;
  const twoWords = `${one} ${two}`;
  if (Object.hasOwn(COMMANDS, twoWords))
    return { name: twoWords, command: COMMANDS[twoWords], rest: args.slice(2) };
  const command = Object.hasOwn(COMMANDS, one) ? COMMANDS[one] : undefined;
  return { name: one, command, rest: args.slice(1) };
}

function optionsOf({ route, options = [] }: Command): (option: string) => boolean {
  const schema = route && routeSchema(`${route.method} /nodes/{node}/qemu${route.path}`);
  return (option) =>
    options.includes(option) ||
    (schema !== undefined &&
      (Object.hasOwn(schema.properties, option) || (schema.vmConfig === true && isVmOption(option))));
}

/** Wait for the worker that a call started; what it ends with is the command's own result. */
async function worker({ context, process }: Call, { task }: ApiAnswer): Promise<number> {
  if (task === undefined) return 0;
  const { exitstatus } = await context.world.tasks.finished(task.upid);
  if (exitstatus === "OK") return 0;
  await write(process.stderr, `${exitstatus}\n`);
  return 255;
}

/** A command that starts a worker on one VM. */
function onVm(usage: string, method: Method, path: string): Command {
  return {
    usage: `${usage} <vmid> [OPTIONS]`,
    words: 1,
    route: { method, path },
    run: async (call) =>
      await worker(
        call,
        await call.api(method, path.replace("{vmid}", call.positionals[0] ?? ""), call.options),
      ),
  };
}

const importOptions: Omit<Command, "usage"> = {
  words: 3,
  options: ["format", "target-disk"],
  exitCodes: [
    // What was copied is removed, and its directory with it, unless the VM has other images there.
    [
      /^copy failed: .* zeroinit:(\S+)' failed/,
      ({ files }, image) => (existsSync(files.toHost(dirname(image))) ? 39 : 25),
    ],
    [/^command '\S+qemu-img info /, 1],
  ],
  run: async ({ context, positionals, options, process }) => {
    const [vmid = "", source = "", storage = ""] = positionals;
    await importDisk(
      context,
      {
        vmid: Number(vmid),
        source,
        storage,
        ...(options.format === undefined ? {} : { format: options.format }),
        ...(options["target-disk"] === undefined ? {} : { targetDisk: options["target-disk"] }),
      },
      (line) => printLine(process, line),
    );
    return 0;
  },
};

const resize: Omit<Command, "usage"> = {
  words: 3,
  options: ["digest", "skiplock"],
  run: async (call) => {
    const [vmid = "", disk = "", size = ""] = call.positionals;
    // A worker that fails says so, and the command ends with 0 all the same.
    await worker(call, await call.api("PUT", `/${vmid}/resize`, { ...call.options, disk, size }));
    return 0;
  },
};

const agent: Omit<Command, "usage"> = {
  words: 2,
  run: async ({ api, positionals, print }) => {
    const [vmid = "", command = ""] = positionals;
    const method = command === "ping" ? "POST" : "GET";
    const { data } = await api(method, `/${vmid}/agent/${command}`);
    const { result } = data as { result: unknown };
    return command === "ping" ? 0 : await print(`${perlJson(result)}\n`);
  },
};

const COMMANDS: Readonly<Record<string, Command>> = {
  create: {
    usage: "create <vmid> [OPTIONS]",
    words: 1,
    route: { method: "POST", path: "" },
    run: async (call) => {
      const params = { ...(await withSshKeys(call)), vmid: call.positionals[0] ?? "" };
      return await worker(call, await call.api("POST", "", params));
    },
  },
  set: {
    usage: "set <vmid> [OPTIONS]",
    words: 1,
    route: { method: "PUT", path: "/{vmid}/config" },
    run: async (call) => {
      await call.api("PUT", `/${call.positionals[0]}/config`, await withSshKeys(call));
      return 0;
    },
  },
  template: onVm("template", "POST", "/{vmid}/template"),
  start: onVm("start", "POST", "/{vmid}/status/start"),
  stop: onVm("stop", "POST", "/{vmid}/status/stop"),
  shutdown: onVm("shutdown", "POST", "/{vmid}/status/shutdown"),
  destroy: onVm("destroy", "DELETE", "/{vmid}"),
  clone: {
    usage: "clone <vmid> <newid> [OPTIONS]",
    words: 2,
    route: { method: "POST", path: "/{vmid}/clone" },
    run: async (call) => {
      const [vmid = "", newid = ""] = call.positionals;
      return await worker(call, await call.api("POST", `/${vmid}/clone`, { ...call.options, newid }));
    },
  },
  importdisk: { usage: "importdisk <vmid> <source> <storage> [OPTIONS]", ...importOptions },
  "disk import": { usage: "disk import <vmid> <source> <storage> [OPTIONS]", ...importOptions },
  resize: { usage: "disk resize <vmid> <disk> <size> [OPTIONS]", ...resize },
  "disk resize": { usage: "disk resize <vmid> <disk> <size> [OPTIONS]", ...resize },
  list: {
    usage: "list  [OPTIONS]",
    words: 0,
    options: ["full"],
    run: async ({ api, print }) => await print(listTable((await api("GET", "")).data)),
  },
  config: {
    usage: "config <vmid> [OPTIONS]",
    words: 1,
    route: { method: "GET", path: "/{vmid}/config" },
    run: async ({ api, positionals, options, print }) =>
      await print(configLines((await api("GET", `/${positionals[0]}/config`, options)).data)),
  },
  pending: {
    usage: "pending <vmid>",
    words: 1,
    run: async ({ api, positionals, print }) =>
      await print(pendingLines((await api("GET", `/${positionals[0]}/pending`)).data)),
  },
  status: {
    usage: "status <vmid> [OPTIONS]",
    words: 1,
    options: ["verbose"],
    run: async ({ api, positionals, options, print }) => {
      const { data } = await api("GET", `/${positionals[0]}/status/current`);
      return await print(statusLines(data, options.verbose !== undefined));
    },
  },
  "cloudinit dump": {
    usage: "cloudinit dump <vmid> <type>",
    words: 2,
    run: async ({ api, positionals, print }) => {
      const [vmid = "", type = ""] = positionals;
      const { data } = await api("GET", `/${vmid}/cloudinit/dump`, { type });
      return await print(`${String(data)}\n`);
    },
  },
  "cloudinit update": {
    usage: "cloudinit update <vmid>",
    words: 1,
    run: async ({ api, positionals }) => {
      await api("PUT", `/${positionals[0]}/cloudinit`);
      return 0;
    },
  },
  "cloudinit pending": {
    usage: "cloudinit pending <vmid>",
    words: 1,
    run: async ({ api, positionals, print }) =>
      await print(pendingLines((await api("GET", `/${positionals[0]}/cloudinit`)).data)),
  },
  agent: { usage: "guest cmd <vmid> <command>", ...agent },
  "guest cmd": { usage: "guest cmd <vmid> <command>", ...agent },
  "guest exec": {
    usage: "guest exec <vmid> [<extra-args>] [OPTIONS]",
    words: 2,
    options: ["synchronous", "timeout", "pass-stdin"],
    run: async ({ api, positionals, print }) => {
      const [vmid = "", ...command] = positionals;
      const { data } = await api("POST", `/${vmid}/agent/exec`, { command });
      const { pid } = data as { pid: number };
      const status = await api("GET", `/${vmid}/agent/exec-status`, { pid: String(pid) });
      return await print(`${perlJson(status.data)}\n`);
    },
  },
};

/** `qm` takes the public keys from a file; the API takes them percent-encoded. */
async function withSshKeys({ options, process }: Call): Promise<Readonly<Record<string, string>>> {
  const { sshkeys } = options;
  if (sshkeys === undefined) return options;
  if (!sshkeys.startsWith("/")) throw new CliUsageError("400 sshkeys: an absolute path is needed");
  try {
    const keys = await readFile(process.files.toHost(sshkeys), "utf8");
    return { ...options, sshkeys: encodeURIComponent(keys) };
  } catch {
    throw failure(`can't open '${sshkeys}' - No such file or directory`);
  }
}
