import { connect } from "node:net";
import { TaskError } from "../errors.ts";
import { freePorts } from "../free-ports.ts";
import { pollUntil } from "../poll.ts";
import { CommandError, type RunResult, start } from "../process.ts";
import type { NodeShell } from "./ssh.ts";

/** A SOCKS proxy on loopback whose connections leave from the Proxmox node. */
export interface Tunnel {
  /** "socks5://127.0.0.1:40123", as a kubeconfig's proxy-url has it. */
  readonly proxyUrl: string;
  close(): Promise<void>;
}

const START_MS = 20_000;
const PORT_ATTEMPTS = 3;

/**
 * Open a tunnel through the node, on a port of its own.
 * @throws {TaskError} in ssh's own words
 */
export async function openTunnel(shell: NodeShell, signal: AbortSignal): Promise<Tunnel> {
  for (let attempt = 1; ; attempt += 1) {
    const [port = 0] = await freePorts(1);
    try {
      return await listen(shell, port, signal);
    } catch (error) {
      signal.throwIfAborted();
      // Between asking for a free port and using it somebody else may take it.
      if (!(error instanceof TaskError) || !/bind|in use/i.test(error.why ?? "") || attempt === PORT_ATTEMPTS)
        throw error;
    }
  }
}

/** The command with which a person opens the tunnel that a kubeconfig expects. */
export function tunnelCommand({ target }: NodeShell, port: number): string[] {
  const { host, user, port: sshPort, configFile } = target;
  return [
    "ssh",
    ...(configFile === undefined ? [] : ["-F", configFile]),
    ...(sshPort === 22 ? [] : ["-p", String(sshPort)]),
    ...["-N", "-D", `127.0.0.1:${port}`],
    `${user}@${host}`,
  ];
}

async function listen(shell: NodeShell, port: number, signal: AbortSignal): Promise<Tunnel> {
  const { file, args } = await shell.command(
    // cat ends with its stdin, and the connection with it: so a task that is killed leaves no tunnel open.
    ["-o", "ExitOnForwardFailure=yes", "-D", `127.0.0.1:${port}`, "--", "cat >/dev/null"],
    { shared: false },
  );
  const child = start(file, args, { graceMs: 2000 });
  let result: RunResult | undefined;
  const ended = child.then((output) => {
    result = output;
  });
  const close = async (): Promise<void> => {
    if (result === undefined) await child.kill("SIGTERM").catch(() => {});
    await ended;
  };
  const { user, host } = shell.target;
  const failed = (why: string): TaskError =>
    new TaskError({
      what: `The tunnel through ${user}@${host} did not open`,
      why,
      todo: ["Check that the node's sshd allows forwarding (AllowTcpForwarding)"],
    });
  try {
    await pollUntil(
      async () => {
        if (result !== undefined) {
          const error = shell.failureOf(new CommandError(file, args, result));
          throw error instanceof TaskError ? error : failed(result.stderr.trim());
        }
        return (await answers(port)) ? { value: true } : { pending: "ssh did not get through" };
      },
      { timeoutMs: START_MS, everyMs: 50, signal },
      failed,
    );
  } catch (error) {
    await close();
    throw error;
  }
  return { proxyUrl: `socks5://127.0.0.1:${port}`, close };
}

async function answers(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
