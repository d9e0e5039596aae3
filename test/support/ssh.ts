import { type ChildProcess, spawn } from "node:child_process";
import { childEnv } from "../../lib/process.ts";
import type { SandboxEndpoints } from "../../lib/sandbox/index.ts";

/** What a program left behind. */
export interface Finished {
  /** null when a signal ended it. */
  readonly exit: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface ExecuteOptions {
  readonly input?: string | Buffer;
  /** Do not end its stdin after the input. */
  readonly keepOpen?: boolean;
  readonly started?: (child: ChildProcess) => unknown;
}

/** How long a program may take: none of ours needs a tenth of it. */
const LIMIT_MS = 30_000;

/** Run a program to its end, whatever it ends with. */
export async function execute(
  file: string,
  args: readonly string[],
  { input = "", keepOpen = false, started }: ExecuteOptions = {},
): Promise<Finished> {
  const child = spawn(file, args, {
    env: childEnv({ LC_ALL: "C", SSH_AUTH_SOCK: undefined }),
    timeout: LIMIT_MS,
    killSignal: "SIGKILL",
  });
  const busy = Promise.resolve(started?.(child));
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  // It may end without having read everything.
  child.stdin.on("error", () => {});
  if (keepOpen) child.stdin.write(input);
  else child.stdin.end(input);
  const finished = new Promise<Finished>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (exit) => resolve({ exit, stdout, stderr }));
  });
  return (await Promise.all([finished, busy]))[0];
}

/** OpenSSH's options for the sandbox's node, without its address. */
export function sshOptions({ sshConfigFile, sshPort }: SandboxEndpoints): string[] {
  return ["-F", sshConfigFile, "-o", "BatchMode=yes", "-o", `Port=${sshPort}`];
}

/** Run a command line on the sandbox's node with the real OpenSSH client. */
export async function onNode(
  endpoints: SandboxEndpoints,
  line: string,
  input?: string | Buffer,
): Promise<Finished> {
  const { sshUser, sshHost } = endpoints;
  const args = [...sshOptions(endpoints), `${sshUser}@${sshHost}`, "--", line];
  return await execute("ssh", args, { ...(input === undefined ? {} : { input }) });
}
