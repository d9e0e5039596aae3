import { existsSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { TaskError, UsageError } from "../errors.ts";
import { CommandError, childEnv, type RunOptions, type RunResult, run } from "../process.ts";
import { temporaryFolder } from "../temporary.ts";
import { quoteWords } from "./quote.ts";
import { SSH_FAILED, type SshEnd, sshFailure } from "./ssh-failure.ts";
import { sshPath } from "./ssh-path.ts";

/** Where SSH goes, as settings have it. */
export interface SshTarget {
  readonly host: string;
  readonly user: string;
  readonly port: number;
  /** OpenSSH client configuration instead of ~/.ssh/config. */
  readonly configFile?: string | undefined;
}

/** A VM behind the node, or beside it. */
export interface VmTarget {
  readonly address: string;
  readonly user: string;
  /** Reach it through the node. */
  readonly jump: boolean;
  /** known_hosts file of the project, in which the VM's host key stands. */
  readonly knownHostsFile: string;
}

/** A program and its arguments. */
export interface CommandLine {
  readonly file: string;
  readonly args: readonly string[];
}

const OPTIONS = [
  "-o",
  "BatchMode=yes",
  "-o",
  "StrictHostKeyChecking=yes",
  "-o",
  "ConnectTimeout=15",
  "-o",
  "ServerAliveInterval=15",
];

/**
 * SSH to the Proxmox node through the OpenSSH client, so that the user's configuration, agent, known hosts and jump
 * hosts apply. One connection serves a whole task; `close` ends it.
 */
export class NodeShell {
  readonly target: SshTarget;
  #control: string | undefined;

  constructor(target: SshTarget) {
    this.target = target;
  }

  /** @throws {UsageError} where the settings lead to no node */
  demandHost(): void {
    if (this.target.host !== "") return;
    throw new UsageError({
      what: "PM_SSH_HOST is missing",
      why: "PM_SSH_HOST: host name or address for SSH; the API's host where PM_API_URL is set",
      todo: ["Set it in .env: PM_SSH_HOST=10.23.45.10", "Or set PM_API_URL"],
    });
  }

  /** Run a program on the node; every word arrives as it is. @throws {TaskError} when ssh fails, {CommandError} when the program does */
  async run(words: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return await this.runLine(quoteWords(words), options);
  }

  /** Run a shell line on the node; its words must have been quoted. */
  async runLine(line: string, options: RunOptions = {}): Promise<RunResult> {
    const { file, args } = await this.command(["--", line]);
    return await runSsh(file, args, this.target, options);
  }

  /** Run a program on a VM; every word arrives as it is. */
  async runOnVm(vm: VmTarget, words: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    const { host, user, port, configFile } = this.target;
    const { file, args } = await this.commandOnVm(vm, words);
    const end: SshEnd = {
      user: vm.user,
      host: vm.address,
      knownHostsFile: vm.knownHostsFile,
      configFile,
      ...(vm.jump ? { through: `${user}@${host}:${port}` } : {}),
    };
    return await runSsh(file, args, end, options);
  }

  /** The ssh command that runs a program on a VM. */
  async commandOnVm(vm: VmTarget, words: readonly string[]): Promise<CommandLine> {
    const { configFile } = this.target;
    const viaConfig = configFile === undefined ? [] : ["-F", configFile];
    const jump = await this.#jumpCommand();
    const knownHosts = [
      sshPath(vm.knownHostsFile),
      ...(configFile === undefined ? ["~/.ssh/known_hosts"] : []),
    ];
    const args = [
      ...viaConfig,
      ...OPTIONS,
      "-o",
      `UserKnownHostsFile=${knownHosts.join(" ")}`,
      ...(vm.jump ? ["-o", `ProxyCommand=${jump}`] : []),
      `${vm.user}@${vm.address}`,
      "--",
      quoteWords(words),
    ];
    return { file: "ssh", args };
  }

  /** The ssh command with which a person runs a program on the node, ready to paste. */
  shown(words: readonly string[]): string {
    const { host, user, port, configFile } = this.target;
    return quoteWords([
      "ssh",
      ...(configFile === undefined ? [] : ["-F", configFile]),
      ...(port === 22 ? [] : ["-p", String(port)]),
      `${user}@${host}`,
      ...(words.length === 0 ? [] : [quoteWords(words)]),
    ]);
  }

  /** The ssh command with which a person logs in to a VM. */
  vmCommand({ address, user: vmUser, jump, knownHostsFile }: VmTarget): string[] {
    const { host, user, port, configFile } = this.target;
    return [
      "ssh",
      ...(configFile === undefined ? [] : ["-F", configFile]),
      ...["-o", `UserKnownHostsFile=${sshPath(knownHostsFile)}`],
      ...(jump
        ? ["-J", `${user}@${host.includes(":") ? `[${host}]` : host}${port === 22 ? "" : `:${port}`}`]
        : []),
      `${vmUser}@${address}`,
    ];
  }

  /** The ssh command for this node, with more arguments: for tunnels. */
  async command(more: readonly string[], { shared = true }: { shared?: boolean } = {}): Promise<CommandLine> {
    this.demandHost();
    const { host, user, port, configFile } = this.target;
    return {
      file: "ssh",
      args: [
        ...(configFile === undefined ? [] : ["-F", configFile]),
        ...OPTIONS,
        ...(shared ? this.#sharing() : ["-o", "ControlPath=none"]),
        "-p",
        String(port),
        `${user}@${host}`,
        ...more,
      ],
    };
  }

  /** What it means that an ssh command for this node failed: the connection's failure, or the program's own. */
  failureOf(error: CommandError): TaskError | CommandError {
    return failureOf(this.target, error);
  }

  /** End the shared connection. */
  async close(): Promise<void> {
    const folder = this.#control;
    this.#control = undefined;
    if (folder === undefined) return;
    const socket = join(folder, "c");
    const args = ["-o", `ControlPath=${sshPath(socket)}`, "-O", "exit", "node"];
    if (existsSync(socket)) await run("ssh", args, { allow: [0, SSH_FAILED] }).catch(() => {});
    await rm(folder, { recursive: true, force: true });
  }

  /** A socket's path is short, and nobody else may reach it. */
  #sharing(): string[] {
    this.#control ??= temporaryFolder("hl-ssh");
    return [
      "-o",
      "ControlMaster=auto",
      "-o",
      `ControlPath=${sshPath(join(this.#control, "c"))}`,
      "-o",
      "ControlPersist=30",
    ];
  }

  async #jumpCommand(): Promise<string> {
    const { file, args } = await this.command(["-W"]);
    // ssh hands this to a shell and replaces %h and %p itself: an address and a port.
    return `${[file, ...args].map(proxyWord).join(" ")} \\[%h\\]:%p`;
  }
}

/** A word of a ProxyCommand: for the shell in the end, and before that for ssh, which counts its quotes in a way of its own. */
function proxyWord(word: string): string {
  return word.replaceAll("%", "%%").replace(/[^\w@%+=:,./-]/gu, "\\$&");
}

async function runSsh(
  file: string,
  args: readonly string[],
  end: SshEnd,
  options: RunOptions,
): Promise<RunResult> {
  try {
    return await run(file, args, { env: childEnv({ LC_ALL: "C" }), ...options });
  } catch (error) {
    throw error instanceof CommandError ? failureOf(end, error) : error;
  }
}

function failureOf(end: SshEnd, error: CommandError): TaskError | CommandError {
  // A program on the other side may end with either code, too: the words decide.
  const perhaps = error.exitCode === SSH_FAILED || error.exitCode === 127;
  return (perhaps ? sshFailure(end, error) : undefined) ?? error;
}

/**
 * Make the host key of a VM known: read through the guest agent on the node, whose own host key is verified. So the
 * first contact with a VM is as safe as that with the node.
 * @param knownHostsFile the project's own; made with mode 0600
 * @throws {TaskError} when the agent does not give the key
 */
export async function learnHostKey(
  shell: NodeShell,
  vm: { readonly vmid: number; readonly address: string },
  knownHostsFile: string,
  signal?: AbortSignal,
): Promise<void> {
  const key = await hostKeyOf(shell, vm.vmid, signal);
  await mkdir(dirname(knownHostsFile), { recursive: true, mode: 0o700 });
  const before = await readFile(knownHostsFile, "utf8").catch(() => "");
  const others = before.split("\n").filter((line) => line !== "" && line.split(" ")[0] !== vm.address);
  await writeFile(knownHostsFile, `${[...others, `${vm.address} ${key}`].join("\n")}\n`, { mode: 0o600 });
}

async function hostKeyOf(shell: NodeShell, vmid: number, signal?: AbortSignal): Promise<string> {
  const file = "/etc/ssh/ssh_host_ed25519_key.pub";
  const words = ["qm", "guest", "exec", String(vmid), "--", "cat", file];
  try {
    const { stdout } = await shell.run(words, { ...(signal ? { signal } : {}) });
    const { "out-data": output = "" } = JSON.parse(stdout) as { "out-data"?: string };
    const [, key] = /^(ssh-ed25519 [A-Za-z0-9+/=]+)/.exec(output.trim()) ?? [];
    if (key !== undefined) return key;
    throw new Error(`the agent gave no key: ${stdout.trim()}`);
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof TaskError) throw error;
    throw new TaskError({
      what: `The SSH host key of VM ${vmid} is not known`,
      why: `The guest agent did not give it: ${error instanceof Error ? error.message : String(error)}`,
      todo: [
        "Wait until the VM has booted, or look at its console whether qemu-guest-agent runs; then try again",
        "Or compare the fingerprint on the VM's console and accept the key once by hand:",
        "$ ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub   # on the VM's console",
        `$ ssh-keyscan ADDRESS >> ${join(homedir(), ".ssh", "known_hosts")}`,
      ],
      cause: error,
    });
  }
}
