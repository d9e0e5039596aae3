import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CommandError } from "../../lib/process.ts";
import { type SshEnd, sshFailure } from "../../lib/proxmox/ssh-failure.ts";

const NODE: SshEnd = { user: "root", host: "10.23.45.10", port: 22 };
const ELSEWHERE: SshEnd = { user: "root", host: "pve.lan", port: 2222, configFile: "/home/ann/my config" };
const VM: SshEnd = {
  user: "admin",
  host: "10.23.45.31",
  through: "root@pve.lan:2222",
  knownHostsFile: "/home/ann/.homelab/known_hosts",
};
const CHANGED = `@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
Host key for pve.lan has changed and you have requested strict checking.
Host key verification failed.`;

interface Case {
  readonly stderr: string;
  readonly end?: SshEnd;
  readonly why: RegExp;
  readonly todo?: string;
}

const CASES: Readonly<Record<string, Case>> = {
  "an unknown host key": {
    stderr:
      "No ED25519 host key is known for 10.23.45.10 and you have requested strict checking.\r\nHost key verification failed.",
    why: /^Its host key is not known here\nNo ED25519/,
    todo: "$ ssh root@10.23.45.10",
  },
  "an unknown host key on another port, with a configuration of its own": {
    stderr: "Host key verification failed.\r\n",
    end: ELSEWHERE,
    why: /not known here/,
    todo: "$ ssh -F '/home/ann/my config' -p 2222 root@pve.lan",
  },
  "an unknown host key of a VM behind the node": {
    stderr: "Host key verification failed.\r\n",
    end: VM,
    why: /not known here/,
    todo: "$ ssh -o ProxyJump=root@pve.lan:2222 admin@10.23.45.31",
  },
  "a changed host key": {
    stderr: CHANGED,
    why: /^Its host key is another one than before/,
    todo: "$ ssh-keygen -R 10.23.45.10",
  },
  "a changed host key on another port": {
    stderr: CHANGED,
    end: ELSEWHERE,
    why: /another one/,
    todo: "$ ssh-keygen -R '[pve.lan]:2222'",
  },
  "a changed host key of a VM": {
    stderr: CHANGED,
    end: VM,
    why: /another one/,
    todo: "$ ssh-keygen -R 10.23.45.31 -f /home/ann/.homelab/known_hosts",
  },
  "no key that is let in": {
    stderr: "root@pve.lan: Permission denied (publickey,password).",
    end: { ...ELSEWHERE, configFile: undefined },
    why: /^It lets none of your keys in/,
    // ssh-copy-id takes its options in front only.
    todo: "$ ssh-copy-id -p 2222 root@pve.lan",
  },
  "too many keys tried": {
    stderr: "Received disconnect from 10.23.45.10 port 22:2: Too many authentication failures",
    why: /lets none of your keys in/,
  },
  "a refused connection": {
    stderr: "ssh: connect to host 10.23.45.10 port 22: Connection refused",
    why: /^Nothing listens there/,
  },
  "a refused connection behind the node": {
    stderr: "channel 0: open failed: connect failed: Connection refused\nstdio forwarding failed",
    end: VM,
    why: /^Nothing listens there/,
  },
  "no answer": {
    stderr: "ssh: connect to host 10.23.45.10 port 22: Connection timed out",
    why: /^It does not answer/,
  },
  "no answer after the connection": {
    stderr: "Connection timed out during banner exchange",
    why: /^It does not answer/,
  },
  "a connection that fell silent": {
    stderr: "Timeout, server 10.23.45.10 not responding.",
    why: /^It does not answer/,
  },
  "no route": {
    stderr: "ssh: connect to host 10.23.45.10 port 22: No route to host",
    why: /^It does not answer/,
  },
  "an unknown name": {
    stderr: "ssh: Could not resolve hostname pve.lan: Name or service not known",
    why: /^Its name is not known \(DNS\)/,
  },
  "a broken connection": {
    stderr: "client_loop: send disconnect: Broken pipe",
    why: /^The connection broke/,
  },
  "a shared connection that broke, of which nobody says anything": {
    stderr: "",
    why: /^The connection broke$/,
  },
  "a connection that the other side closed": {
    stderr: "Connection to 10.23.45.10 closed by remote host.",
    why: /^The connection broke/,
  },
  "something that is no SSH server": {
    stderr: "kex_exchange_identification: Connection closed by remote host",
    why: /^The connection broke/,
  },
  "a configuration that ssh does not understand": {
    stderr:
      "/home/ann/my config: line 3: Bad configuration option: nonsense\r\n/home/ann/my config: terminating, 1 bad configuration options",
    why: /Bad configuration option: nonsense/,
  },
  "no common algorithm": {
    stderr:
      "Unable to negotiate with 10.23.45.10 port 22: no matching host key type found. Their offer: ssh-rsa",
    why: /^Unable to negotiate/,
  },
};

/** What programs on the node say when they end with 255, as qm does; the words alone are not ssh's. */
const PROGRAMS: readonly string[] = [
  "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout",
  "storage 'nas' error: mount.nfs: Connection refused",
  "unable to open file '/etc/pve/nodes/pve/qemu-server/100.conf' - Permission denied",
  "VM 100 qmp command 'query-status' failed - connection timed out",
  "command '/sbin/lvs' failed: No route to host",
  "storage 'nosuch' does not exist",
  "bash: line 1: qm: command not found",
];

function failed(stderr: string, exitCode = 255): CommandError {
  return new CommandError("ssh", [], { stdout: "", stderr, exitCode });
}

describe("what went wrong with SSH", () => {
  for (const [title, { stderr, end = NODE, why, todo }] of Object.entries(CASES)) {
    test(title, () => {
      const failure = sshFailure(end, failed(stderr));
      assert.match(failure?.why ?? "", why);
      assert.ok(failure?.why?.includes(stderr.trim()), "ssh's own words are kept");
      if (todo !== undefined) assert.ok(failure?.todo.includes(todo), failure?.todo.join("\n"));
    });
  }

  test("no client on this machine", () => {
    assert.match(
      sshFailure(NODE, failed("bash: line 1: ssh: command not found", 127))?.why ?? "",
      /no OpenSSH client/,
    );
  });

  test("says with whom, and through whom", () => {
    assert.equal(sshFailure(NODE, failed("ssh: no"))?.what, "SSH to root@10.23.45.10:22 failed");
    assert.equal(
      sshFailure(VM, failed("ssh: no"))?.what,
      "SSH to admin@10.23.45.31 through root@pve.lan:2222 failed",
    );
  });

  for (const stderr of PROGRAMS) {
    test(`a program's own failure is left to the program: ${stderr}`, () =>
      assert.equal(sshFailure(NODE, failed(stderr)), undefined));
  }
});
