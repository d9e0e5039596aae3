import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type ssh2 from "ssh2";
import { builtins, complain, type Programs, runCommandLine, write } from "../shell/index.ts";
import { createSshServer, keptKey } from "../ssh/index.ts";
import { NodeFiles, readIfThere, writeFileAtomic } from "../world/index.ts";
import { cloudInitStatus, STATUS_FILE } from "./cloud-init-status.ts";
import type { Cluster } from "./cluster.ts";
import type { GuestFacts } from "./facts.ts";

/** Where k3s leaves its kubeconfig. */
const K3S_YAML = "/etc/rancher/k3s/k3s.yaml";

interface Finished {
  readonly exitcode: number;
  readonly output: string;
  readonly errors: string;
}

/** The inside of a running VM: its files, its SSH server, the commands it knows. No kernel runs. */
export class Guest {
  readonly facts: GuestFacts;
  readonly ssh: ssh2.Server;
  readonly #files: NodeFiles;
  readonly #cluster: Cluster;
  readonly #executed = new Map<number, Finished>();
  #nextPid = 1200;

  /** @param dir what is on its disk, as files of the host */
  constructor(dir: string, facts: GuestFacts, cluster: Cluster, log: (line: string) => void) {
    this.facts = facts;
    this.#cluster = cluster;
    const root = join(dir, "rootfs");
    for (const folder of ["etc/ssh", "etc/rancher/k3s", "root", "tmp", "var/log"]) {
      mkdirSync(join(root, folder), { recursive: true, mode: 0o755 });
    }
    chmodSync(join(root, "tmp"), 0o1777);
    this.#files = new NodeFiles(root);
    const hostKey = keptKey(this.#files.toHost("/etc/ssh/ssh_host_ed25519_key"), `root@${facts.hostname}`);
    this.#firstBoot();
    this.ssh = createSshServer({
      hostKey: hostKey.private,
      keysOf: (user) => (user === facts.user ? facts.keys : []),
      exec: async (user, line, streams) => {
        this.#refresh();
        const shell = { files: this.#files, programs: this.#programs(), user: { name: user, root: false } };
        return await runCommandLine(line, streams, shell);
      },
      log,
    });
  }

  /** Run a program as the agent does: as root, its output kept until it is asked for. */
  async execute(argv: readonly string[]): Promise<{ pid: number }> {
    this.#refresh();
    const { PassThrough } = await import("node:stream");
    const output = new PassThrough();
    const errors = new PassThrough();
    const texts = [collect(output), collect(errors)];
    const stdin = new PassThrough().end();
    const quoted = argv.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
    const exitcode = await runCommandLine(
      quoted,
      { stdin, stdout: output, stderr: errors },
      { files: this.#files, programs: this.#programs(), user: { name: "root", root: true } },
    );
    output.end();
    errors.end();
    const [out = "", err = ""] = await Promise.all(texts);
    const pid = this.#nextPid;
    this.#nextPid += 1;
    this.#executed.set(pid, { exitcode, output: out, errors: err });
    return { pid };
  }

  /** What became of a program that the agent ran; forgotten once it was asked for, as the agent does. */
  statusOf(pid: number): unknown {
    const finished = this.#executed.get(pid);
    this.#executed.delete(pid);
    if (finished === undefined) return undefined;
    const { exitcode, output, errors } = finished;
    return {
      exited: 1,
      exitcode,
      ...(output === "" ? {} : { "out-data": output }),
      ...(errors === "" ? {} : { "err-data": errors }),
    };
  }

  /** What cloud-init and systemd make at the first boot of a clone, and keep from then on. */
  #firstBoot(): void {
    const machineId = this.#files.toHost("/etc/machine-id");
    if (readIfThere(machineId) === undefined) {
      writeFileAtomic(machineId, `${randomBytes(16).toString("hex")}\n`, 0o444);
    }
    writeFileAtomic(this.#files.toHost("/etc/hostname"), `${this.facts.hostname}\n`, 0o644);
    writeFileAtomic(
      this.#files.toHost("/etc/os-release"),
      'NAME="AlmaLinux"\nID="almalinux"\nVERSION_ID="9"\nPRETTY_NAME="AlmaLinux 9 (simulated)"\n',
      0o644,
    );
  }

  /** k3s writes its kubeconfig once its API server is up. */
  #refresh(): void {
    const kubeconfig = this.#cluster.controlPlane?.k3sKubeconfig;
    if (kubeconfig !== undefined) writeFileAtomic(this.#files.toHost(K3S_YAML), kubeconfig, 0o600);
  }

  #programs(): Programs {
    const { facts } = this;
    const cluster = this.#cluster;
    return {
      ...builtins,
      hostname: async ({ stdout }) => {
        await write(stdout, `${facts.hostname}\n`);
        return 0;
      },
      whoami: async ({ stdout, user }) => {
        await write(stdout, `${user.name}\n`);
        return 0;
      },
      sudo: async ({ args, run }) => await run(withoutFlags(args), { name: "root", root: true }),
      "cloud-init": async ({ args, stdout }) => {
        if (!args.includes("status")) return 0;
        const { text, exitCode } = cloudInitStatus(
          readIfThere(this.#files.toHost(STATUS_FILE)),
          args.includes("--long"),
        );
        await write(stdout, text);
        return exitCode;
      },
      systemctl: async (process) => {
        const [command, unit] = process.args.filter((arg) => !arg.startsWith("-"));
        if (command !== "is-active")
          return await complain(process, "the sandbox knows systemctl is-active UNIT");
        const state = unit?.replace(/\.service$/, "") === "k3s" ? cluster.state : "inactive";
        if (!process.args.includes("--quiet")) await write(process.stdout, `${state}\n`);
        return state === "active" ? 0 : 3;
      },
      journalctl: async ({ args, stdout }) => {
        const last = args.includes("-n") ? Number(args[args.indexOf("-n") + 1]) : cluster.journal.length;
        for (const line of cluster.journal.slice(-last)) await write(stdout, `${line}\n`);
        return 0;
      },
    };
  }
}

/** sudo's own flags that take no value come before the command. */
function withoutFlags(args: readonly string[]): readonly string[] {
  const at = args.findIndex((arg) => !arg.startsWith("-"));
  return at < 0 ? [] : args.slice(at);
}

async function collect(stream: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}
