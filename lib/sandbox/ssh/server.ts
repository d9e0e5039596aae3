import type { Duplex } from "node:stream";
import type { AuthContext, Connection, ServerChannel, Session } from "ssh2";
import ssh2 from "ssh2";
import type { Streams } from "../shell/index.ts";
import type { NodeFiles } from "../world/index.ts";
import { serveSftp } from "./sftp.ts";

/** Who may log in, and what a login may do. */
export interface SshHost {
  /** OpenSSH private key. */
  readonly hostKey: string;
  /** The public keys (OpenSSH one-line form) that may log in as a user. */
  keysOf(user: string): readonly string[];
  /** Runs a command line for a user; its exit code. */
  exec(user: string, commandLine: string, streams: Streams): Promise<number>;
  /** Opens what a forwarded connection asks for; undefined refuses it. */
  forward?(host: string, port: number): Promise<Duplex | undefined>;
  /** Lets sftp and scp work below these files. */
  readonly files?: NodeFiles;
  readonly log: (line: string) => void;
}

/** Ciphers that Node's crypto does in hardware; the client's favourite would be computed in JavaScript. */
const CIPHERS = ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes256-ctr"] as const;
const { parseKey } = ssh2.utils;

/** An SSH server of the sandbox, for the node or a guest. It listens nowhere by itself. */
export function createSshServer(host: SshHost): ssh2.Server {
  return new ssh2.Server({ hostKeys: [host.hostKey], algorithms: { cipher: [...CIPHERS] } }, (connection) =>
    serve(connection, host),
  );
}

function serve(connection: Connection, host: SshHost): void {
  let user = "";
  connection.on("authentication", (attempt) => {
    user = attempt.username;
    if (isAllowed(attempt, host.keysOf(user))) attempt.accept();
    else attempt.reject(["publickey"]);
  });
  connection.on("session", (accept) => serveSession(accept(), user, host));
  connection.on("tcpip", (accept, reject, { destIP, destPort }) => {
    void (async () => {
      const target = await host.forward?.(destIP, destPort);
      if (target === undefined) return reject();
      const channel = accept();
      channel.on("error", () => target.destroy());
      target.on("error", () => channel.destroy());
      channel.pipe(target).pipe(channel);
      channel.on("close", () => target.destroy());
      target.on("close", () => channel.end());
    })().catch((error: unknown) => {
      host.log(`forwarding to ${destIP}:${destPort} failed: ${String(error)}`);
      reject();
    });
  });
  // Clients that go away without a word are nothing to report.
  connection.on("error", () => {});
}

function isAllowed(attempt: AuthContext, allowed: readonly string[]): boolean {
  if (attempt.method !== "publickey") return false;
  return allowed.some((line) => {
    const key = parseKey(line);
    if (key instanceof Error || Array.isArray(key)) return false;
    if (!key.getPublicSSH().equals(attempt.key.data)) return false;
    // Without a signature the client only asks whether the key would do.
    if (attempt.signature === undefined || attempt.blob === undefined) return true;
    return key.verify(attempt.blob, attempt.signature, attempt.hashAlgo) === true;
  });
}

function serveSession(session: Session, user: string, host: SshHost): void {
  session.on("pty", (accept) => accept?.());
  session.on("env", (accept) => accept?.());
  session.on("exec", (accept, _reject, { command }) => void execute(accept(), user, command, host));
  session.on("shell", (accept) => {
    const channel = accept();
    channel.stderr.write(
      "This is the homelab sandbox: single commands work here, an interactive shell does not.\r\n",
    );
    finish(channel, 1);
  });
  const { files } = host;
  if (files !== undefined) session.on("sftp", (accept) => serveSftp(accept(), files));
}

async function execute(channel: ServerChannel, user: string, command: string, host: SshHost): Promise<void> {
  channel.on("error", () => {});
  const streams = { stdin: channel.stdin, stdout: channel.stdout, stderr: channel.stderr };
  try {
    finish(channel, await host.exec(user, command, streams));
  } catch (error) {
    host.log(`"${command}" failed: ${error instanceof Error ? error.stack : String(error)}`);
    finish(channel, 255);
  }
}

function finish(channel: ServerChannel, code: number): void {
  channel.exit(code);
  channel.end();
}
