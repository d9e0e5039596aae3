import { TaskError } from "../errors.ts";
import type { CommandError } from "../process.ts";

interface Explanation {
  readonly form: RegExp;
  readonly why: string;
  readonly todo: (target: string) => readonly string[];
}

const EXPLANATIONS: readonly Explanation[] = [
  {
    form: /REMOTE HOST IDENTIFICATION HAS CHANGED|Host key for .* has changed/,
    why: "Its host key is another one than before",
    todo: () => [
      "If the machine was installed anew, compare the new fingerprint on its console, then forget the old key:",
      "$ ssh-keygen -R HOST",
      "If not, somebody may be answering in its place: do not go on",
    ],
  },
  {
    form: /Host key verification failed|No \S+ host key is known/,
    why: "Its host key is not known here",
    todo: (target) => [
      "Connect once by hand, compare the fingerprint with the one on its console, and accept it:",
      `$ ssh ${target}`,
    ],
  },
  {
    form: /Permission denied/,
    why: "It lets none of your keys in",
    todo: (target) => [
      "Load the key into your agent (ssh-add), or put your public key there:",
      `$ ssh-copy-id ${target}`,
    ],
  },
  {
    form: /Connection refused/,
    why: "Nothing listens there (connection refused)",
    todo: () => ["Check PM_SSH_HOST and PM_SSH_PORT, and that sshd runs on the node"],
  },
  {
    form: /timed out|No route to host|Network is unreachable/i,
    why: "It does not answer",
    todo: () => ["Check the address, and that this machine reaches it (VPN, firewall)"],
  },
  {
    form: /Could not resolve hostname/,
    why: "Its name is not known (DNS)",
    todo: () => ["Check PM_SSH_HOST"],
  },
  {
    form: /ssh: command not found|ssh: not found/,
    why: "There is no OpenSSH client on this machine",
    todo: () => ["$ sudo apt-get install openssh-client"],
  },
];

/**
 * What went wrong between us and a machine, as opposed to what a program on it said.
 * @returns undefined when it was the program
 */
export function sshFailure(target: string, error: CommandError): TaskError | undefined {
  const found = EXPLANATIONS.find(({ form }) => form.test(error.stderr));
  if (found === undefined && !/^(ssh|kex_exchange|Connection|channel|mux_)/m.test(error.stderr))
    return undefined;
  return new TaskError({
    what: `SSH to ${target} failed`,
    why: [found?.why, error.stderr.trim()].filter(Boolean).join("\n"),
    todo: found?.todo(target.split(" ")[0]?.replace(/:(\d+)$/, " -p $1") ?? target) ?? [],
    cause: error,
  });
}
