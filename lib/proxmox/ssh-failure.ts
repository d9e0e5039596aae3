import { TaskError } from "../errors.ts";
import type { CommandError } from "../process.ts";
import { quoteWords } from "./quote.ts";

/** What ssh itself ends with when it could not do its work. */
export const SSH_FAILED = 255;

/** The machine at the other end, for messages and for commands to paste. */
export interface SshEnd {
  readonly user: string;
  readonly host: string;
  readonly port?: number;
  /** OpenSSH client configuration that was used instead of the user's own. */
  readonly configFile?: string | undefined;
  /** "user@host:port" of the machine in between. */
  readonly through?: string;
  /** Where its host key is looked up, when it is not in the user's own file. */
  readonly knownHostsFile?: string;
}

interface Explanation {
  /** As ssh says it: programs on the other machine use the same words in other places. */
  readonly form: RegExp;
  readonly why: string;
  readonly todo: (end: SshEnd) => readonly string[];
}

const BROKEN: Explanation = {
  form: /^(client_loop|Read from remote host|Connection (to|closed|reset)|Shared connection|kex_exchange_identification|ssh: connect to host .*reset by peer)/m,
  why: "The connection broke",
  todo: () => ["Check the network and the node, then run it again"],
};

const EXPLANATIONS: readonly Explanation[] = [
  {
    form: /^@ +WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED|^Host key for .* has changed/m,
    why: "Its host key is another one than before",
    todo: (end) => [
      "If the machine was installed anew, compare the new fingerprint on its console, then forget the old key:",
      paste(["ssh-keygen", "-R", keyName(end), ...(end.knownHostsFile ? ["-f", end.knownHostsFile] : [])]),
      "If not, somebody may be answering in its place: do not go on",
    ],
  },
  {
    form: /^Host key verification failed|^No \S+ host key is known for/m,
    why: "Its host key is not known here",
    todo: (end) => [
      "Connect once by hand, compare the fingerprint with the one on its console, and accept it:",
      paste(byHand("ssh", end)),
    ],
  },
  {
    form: /^\S+@\S+: Permission denied \(|Too many authentication failures/m,
    why: "It lets none of your keys in",
    todo: (end) => [
      "Load the key into your agent (ssh-add), or put your public key there:",
      paste(byHand("ssh-copy-id", end)),
    ],
  },
  {
    form: /^(ssh: connect to host|channel \d+: open failed).*Connection refused/m,
    why: "Nothing listens there (connection refused)",
    todo: () => ["Check PM_SSH_HOST and PM_SSH_PORT, and that sshd runs on the node"],
  },
  {
    form: /^(ssh: connect to host|channel \d+: open failed).*(timed out|No route to host|Network is unreachable)|^Connection timed out|^Timeout, server/im,
    why: "It does not answer",
    todo: () => ["Check the address, and that this machine reaches it (VPN, firewall)"],
  },
  {
    form: /^ssh: Could not resolve hostname/m,
    why: "Its name is not known (DNS)",
    todo: () => ["Check PM_SSH_HOST"],
  },
  {
    form: /^\S*sh: (line \d+: )?ssh: (command )?not found/m,
    why: "There is no OpenSSH client on this machine",
    todo: () => ["$ sudo apt-get install openssh-client"],
  },
  BROKEN,
];

/** How else a line begins that ssh says of itself. */
const OWN_LINE =
  /^(ssh: |ssh_|mux_|kex_|channel \d|Control socket|stdio forwarding failed|Unable to negotiate|Received disconnect|Disconnected from|Can't open user config file|.*: terminating, \d+ bad configuration)/m;

/**
 * What went wrong between us and a machine, as opposed to what a program on it said.
 * @returns undefined when it was the program
 */
export function sshFailure(end: SshEnd, error: CommandError): TaskError | undefined {
  const found = explanationOf(error);
  if (found === undefined && !OWN_LINE.test(error.stderr)) return undefined;
  const { user, host, port, through } = end;
  const name = `${user}@${host}${port === undefined ? "" : `:${port}`}`;
  return new TaskError({
    what: `SSH to ${name}${through === undefined ? "" : ` through ${through}`} failed`,
    why: [found?.why, error.stderr.trim()].filter(Boolean).join("\n"),
    todo: found?.todo(end) ?? ["See whether it works by hand:", paste(byHand("ssh", end))],
    cause: error,
  });
}

/** Whether a connection ended because the machine's host key is not known, or another one. */
export function isHostKeyFailure({ why = "" }: TaskError): boolean {
  return why.startsWith("Its host key");
}

function explanationOf({ stderr, exitCode }: CommandError): Explanation | undefined {
  // A shared connection breaks without a word: the process that keeps it has nowhere to say it.
  if (stderr.trim() === "" && exitCode === SSH_FAILED) return BROKEN;
  return EXPLANATIONS.find(({ form }) => form.test(stderr));
}

function byHand(program: "ssh" | "ssh-copy-id", { user, host, port, configFile, through }: SshEnd): string[] {
  return [
    program,
    ...(configFile === undefined ? [] : ["-F", configFile]),
    ...(through === undefined ? [] : ["-o", `ProxyJump=${through}`]),
    ...(port === undefined || port === 22 ? [] : ["-p", String(port)]),
    `${user}@${host}`,
  ];
}

/** How a machine is called in known_hosts. */
function keyName({ host, port }: SshEnd): string {
  return port === undefined || port === 22 ? host : `[${host}]:${port}`;
}

function paste(words: readonly string[]): string {
  return `$ ${quoteWords(words)}`;
}
