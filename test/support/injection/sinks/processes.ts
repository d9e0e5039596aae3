import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { isIPv6, SocketAddress } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import ssh2 from "ssh2";
import { childEnv, run } from "../../../../lib/process.ts";
import { NodeShell, quoteWords, type SshTarget } from "../../../../lib/proxmox/index.ts";
import { byNul, inBatches, type Sink } from "./sink.ts";

const PRINT = ["printf", "%s\\0"] as const;
/** Linux takes 128 KB in one argument. */
const ONE_ARGUMENT = 100_000;

/** As arguments of a child process, started as all of ours are. */
export const asArgument: Sink = inBatches(ONE_ARGUMENT, async (values) => {
  const { stdout } = await run("/usr/bin/printf", [PRINT[1], ...values]);
  return byNul(stdout);
});

/** As words of a command that somebody pastes into a shell. */
export const asPastedWord: Sink = async (values) => {
  return byNul(await inShell(quoteWords([...PRINT, ...values])));
};

async function inShell(script: string): Promise<string> {
  return (await run("/bin/sh", ["-s"], { input: `${script}\n` })).stdout;
}

/** A machine with a real shell behind ssh, on loopback. */
export class SshMachine {
  readonly #server: ssh2.Server;
  readonly #config: string;
  #shell: NodeShell | undefined;

  private constructor(server: ssh2.Server, config: string) {
    this.#server = server;
    this.#config = config;
  }

  static async start(dir: string): Promise<SshMachine> {
    const [host, client] = [
      ssh2.utils.generateKeyPairSync("ed25519"),
      ssh2.utils.generateKeyPairSync("ed25519"),
    ];
    const server = new ssh2.Server({ hostKeys: [host.private] }, (connection) => {
      connection.on("authentication", (attempt) => attempt.accept());
      connection.on("error", () => {});
      connection.on("session", (accept) => {
        accept().on("exec", (acceptExec, _reject, { command }) => {
          const channel = acceptExec();
          const child = spawn("/bin/sh", ["-c", command], { env: childEnv() });
          channel.stdin.pipe(child.stdin);
          child.stdout.pipe(channel.stdout, { end: false });
          child.stderr.pipe(channel.stderr);
          child.on("close", (code) => {
            channel.exit(code ?? 1);
            channel.end();
          });
        });
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    mkdirSync(dir, { recursive: true });
    const config = join(dir, "config");
    writeFileSync(join(dir, "key"), client.private, { mode: 0o600 });
    writeFileSync(
      join(dir, "known_hosts"),
      `[127.0.0.1]:${port} ${host.public.split(" ").slice(0, 2).join(" ")}\n`,
    );
    writeFileSync(
      config,
      `Host *\n  IdentityFile "${dir}/key"\n  IdentitiesOnly yes\n  UserKnownHostsFile "${dir}/known_hosts"\n`,
    );
    const machine = new SshMachine(server, config);
    machine.#shell = new NodeShell({ host: "127.0.0.1", user: "root", port, configFile: config });
    return machine;
  }

  /** As words of a command there: through quoteWords, the ssh client and a shell. */
  readonly asRemoteWord: Sink = inBatches(ONE_ARGUMENT, async (values) => {
    if (this.#shell === undefined) throw new Error("it has ended");
    return byNul((await this.#shell.run([...PRINT, ...values])).stdout);
  });

  async stop(): Promise<void> {
    await this.#shell?.close();
    this.#shell = undefined;
    await new Promise((resolve) => this.#server.close(resolve));
  }

  get config(): string {
    return this.#config;
  }
}

/** What the ssh client makes of arguments, option by option, for each list of them; it connects to nobody. */
async function understood(lists: readonly (readonly string[])[]): Promise<ReadonlyMap<string, string>[]> {
  const lines = lists.map((args) => `${quoteWords(["ssh", "-G", ...args])}; printf '\\0'`);
  return byNul(await inShell(lines.join("\n"))).map(
    (options) =>
      new Map(
        options
          .trim()
          .split("\n")
          .map((line): [string, string] => [line.split(" ", 1)[0] ?? "", line.slice(line.indexOf(" ") + 1)]),
      ),
  );
}

/** As a part of an ssh client's target, for the node itself and as the jump host before a VM. */
export function asSshTarget(part: "host" | "user" | "port"): Sink {
  const name = { host: "hostname", user: "user", port: "port" }[part];
  return async (values) => {
    const target = { host: "pve.lan", user: "root", port: 22, configFile: "/dev/null" };
    const { own, jumps } = await both(
      values.map((value) => ({ ...target, [part]: part === "port" ? Number(value) : value })),
    );
    return values.map((value, at) => {
      const words = jumps[at] ?? [];
      const [user, host] = words.find((word) => word.includes("@"))?.split("@") ?? [];
      const before = { user, host, port: words[words.indexOf("-p") + 1] }[part];
      const found = own[at]?.get(name);
      const same = before === value && found === (part === "host" ? asClientWrites(value) : value);
      return same ? value : `${found}, and as a jump host ${before}`;
    });
  };
}

/** The client writes names in small letters, and IPv6 addresses in the shortest form. */
function asClientWrites(host: string): string {
  return isIPv6(host) ? new SocketAddress({ address: host, family: "ipv6" }).address : host.toLowerCase();
}

/** As the path of the client's configuration: whether it is that file which is read, for the node and the jump host. */
export async function asSshConfiguration(values: readonly string[]): Promise<readonly string[]> {
  const target: SshTarget = { host: "pve.lan", user: "root", port: 22 };
  const foreign = values.filter((value) => !value.startsWith(`${tmpdir()}/`));
  if (foreign.length > 0) throw new Error(`none of the test's own files: ${foreign.join(", ")}`);
  for (const [at, value] of values.entries()) writeFileSync(value, `Host *\n  SendEnv MARK_${at}\n`);
  const { own, jumps } = await both(values.map((configFile) => ({ ...target, configFile })));
  return values.map((value, at) => {
    const words = jumps[at] ?? [];
    const config = words[words.indexOf("-F") + 1];
    const mark = own[at]?.get("sendenv");
    return config === value && mark === `MARK_${at}` ? value : `${mark}, and for the jump host ${config}`;
  });
}

/** What the client makes of its commands for nodes, and the words of the commands that jump through them to a VM. */
async function both(
  targets: readonly SshTarget[],
): Promise<{ own: ReadonlyMap<string, string>[]; jumps: string[][] }> {
  const vm = { address: "10.23.45.31", user: "admin", jump: true, knownHostsFile: "/nowhere/known_hosts" };
  const direct: (readonly string[])[] = [];
  const behind: (readonly string[])[] = [];
  for (const target of targets) {
    const shell = new NodeShell(target);
    direct.push((await shell.command(["--", "true"])).args);
    behind.push((await shell.commandOnVm(vm, ["true"])).args);
    await shell.close();
  }
  const proxies = (await understood(behind)).map((options) => options.get("proxycommand") ?? "");
  return { own: await understood(direct), jumps: await throughProxies(proxies) };
}

/** What a shell makes of ProxyCommands, once the client has put address and port into them: the words of each. */
async function throughProxies(commands: readonly string[]): Promise<string[][]> {
  const lines = commands.map((command) =>
    command.replace(/%[hp%]/g, (token) => ({ "%h": "10.23.45.31", "%p": "22" })[token] ?? "%"),
  );
  const script = ["ssh() { printf '%s\\0' ssh \"$@\" ; printf '\\0'; }", ...lines].join("\n");
  return (await inShell(script))
    .split("\0\0")
    .slice(0, -1)
    .map((words) => words.split("\0"));
}
