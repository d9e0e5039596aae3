import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { type Sandbox, startSandbox } from "../../lib/sandbox/index.ts";
import { sandboxSettings } from "../../lib/task/sandbox-settings.ts";
import { type Ended, startCommand } from "../support/command-line.ts";
import { PveApi } from "../support/pve.ts";
import { WorkingCopy } from "../support/working-copy.ts";
import { objectsOf } from "./objects.ts";

const WATCH_ARGV = fileURLToPath(new URL("./watch-argv.mjs", import.meta.url));
/** No task takes as long, on however busy a machine: one that does hangs. */
const PATIENCE_MS = 480_000;
/** tsx's cache in the temporary folder. */
const TSX = `tsx-${process.getuid?.() ?? userInfo().username}`;
/** How the Proxmox provider calls what its processes share. */
const PROVIDER = "terraform-provider-proxmox-id-gen";
const PASSPHRASE = "a passphrase for the fault matrix alone";
/** Small enough to be told by its content. */
const HASHED_BYTES = 256 * 1024;

/** What a task did. */
export interface Outcome extends Ended {
  /** The words of all programs that it started, a JSON list a line. */
  readonly argv: string;
}

/** What there is, by place: whatever differs was changed. */
export type Inventory = ReadonlyMap<string, string>;

/**
 * A clone and a sandbox that it takes for a real node: the settings lead to it, as they would lead to any other. Pairs
 * use it one after another.
 */
export class FaultWorld {
  readonly copy = new WorkingCopy();
  /** Nobody else puts anything there. */
  readonly temporary = join(this.copy.home, "tmp");
  readonly kubeconfig = join(this.copy.home, "kube", "config");
  readonly sandbox: Sandbox;
  readonly pve: PveApi;
  private constructor(sandbox: Sandbox, copy: WorkingCopy) {
    this.copy = copy;
    this.sandbox = sandbox;
    this.pve = new PveApi(sandbox.endpoints);
  }

  /** @param hasCluster whether a Kubernetes runs on its VMs: a real one, which takes its time */
  static async start(hasCluster: boolean): Promise<FaultWorld> {
    const copy = new WorkingCopy();
    const dir = join(copy.home, "node");
    const sandbox = hasCluster ? startSandbox({ dir }) : withoutTools(() => startSandbox({ dir }), copy.home);
    const world = new FaultWorld(await sandbox, copy);
    mkdirSync(world.temporary);
    // What tsx has translated is found again, as in a person's clone.
    symlinkSync(join(tmpdir(), TSX), join(world.temporary, TSX));
    return world;
  }

  /** A path on the node, as this machine has it. */
  onNode(path: string): string {
    return join(this.sandbox.dir, "rootfs", path);
  }

  /** Of a person's own manifests. */
  get repository(): string {
    return `file://${join(this.copy.home, "fork")}`;
  }

  get settings(): Readonly<Record<string, string>> {
    return {
      ...(sandboxSettings(this.sandbox) as Record<string, string>),
      KUBECONFIG: this.kubeconfig,
      GIT_REPO_URL: this.repository,
      GIT_REVISION: "main",
      TF_STATE_PASSPHRASE: PASSPHRASE,
    };
  }

  /** What nobody may ever see. */
  secrets(): string[] {
    const dotenv = join(this.copy.root, ".env");
    const saved = existsSync(dotenv)
      ? (/PM_API_TOKEN_SECRET="?([\w-]+)/.exec(readFileSync(dotenv, "utf8"))?.[1] ?? [])
      : [];
    const key = existsSync(this.kubeconfig)
      ? (/client-key-data: (\S+)/.exec(readFileSync(this.kubeconfig, "utf8"))?.[1] ?? [])
      : [];
    return [this.sandbox.endpoints.tokenSecret, PASSPHRASE, "PRIVATE KEY-----"].concat(key, saved);
  }

  /**
   * Run a task as a person does, to its end.
   * @param shell words before its own
   */
  async run(
    command: string,
    flags: readonly string[],
    { env = {}, shell = "" }: { env?: Readonly<Record<string, string>>; shell?: string } = {},
  ): Promise<Outcome> {
    const log = join(this.copy.home, "argv.log");
    rmSync(log, { force: true });
    const words = ["--import", "tsx", join("tasks", `${command}.ts`), "--json", ...flags];
    const { child, ended } = startCommand(
      "bash",
      ["-c", `${shell} exec "$@"`, "task", process.execPath, ...words],
      {
        cwd: this.copy.root,
        env: this.copy.env({
          ...this.settings,
          TMPDIR: this.temporary,
          NODE_OPTIONS: `--import ${WATCH_ARGV}`,
          ARGV_LOG: log,
          SSH_AUTH_SOCK: "",
          ...env,
        }) as Record<string, string>,
      },
    );
    child.stdin?.end();
    const late = setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
    const outcome = await ended;
    clearTimeout(late);
    return { ...outcome, argv: existsSync(log) ? readFileSync(log, "utf8") : "" };
  }

  /** Everything that a task can change: node, VMs, state, files of this machine, the cluster's objects. */
  async inventory(): Promise<Inventory> {
    const found = new Map<string, string>();
    for (const { vmid, name, status, template } of await this.pve.vms())
      found.set(
        `VM ${vmid}`,
        `${name} ${template === 1 ? "template" : status} ${configIn(await this.pve.config(vmid))}`,
      );
    const { root, home } = this.copy;
    for (const folder of [
      this.onNode("etc"),
      this.onNode("var/lib"),
      join(root, "terraform"),
      join(root, "k8s"),
      join(root, ".homelab"),
      join(home, "kube"),
      join(home, "images"),
    ])
      for (const [file, content] of filesBelow(folder)) found.set(relative(home, file), content);
    for (const file of readdirSync(root).filter((name) => name.startsWith(".env")))
      found.set(file, contentOf(join(root, file)));
    found.set("users, roles and rights", accessIn(join(this.sandbox.dir, "state", "access.json")));
    for (const line of await objectsOf(this)) found.set(`object ${line}`, "");
    return found;
  }

  /** What a task may write for itself: read for secrets, not compared. */
  logs(): string {
    return filesBelow(join(this.copy.root, ".homelab", "logs"))
      .map(([file]) => readFileSync(file, "utf8"))
      .concat(readFileSync(join(this.sandbox.dir, "sandbox.log"), "utf8"))
      .join("\n");
  }

  /** What a task has left in the temporary folder. */
  temporaryFiles(): string[] {
    return readdirSync(this.temporary).filter((name) => name !== TSX && !name.startsWith(PROVIDER));
  }

  async stop(): Promise<void> {
    await this.sandbox.stop();
    this.copy.remove();
  }
}

/** Have something started that finds no tools of ours, so that no control plane runs in it. */
function withoutTools<T>(begin: () => T, home: string): T {
  const before = { ...process.env };
  Object.assign(process.env, { HOMELAB_TOOLS: "path", HOMELAB_CACHE: join(home, "no-tools") });
  try {
    return begin();
  } finally {
    for (const name of ["HOMELAB_TOOLS", "HOMELAB_CACHE"])
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
  }
}

/** What is remembered, not changed: host keys, what OpenTofu has fetched, who held a lock. */
const ASIDE = /\/(\.terraform(\/|$)|\.terraform\.lock\.hcl$)|\/\.homelab\/(known_hosts|logs\/|locks\/)/;

function filesBelow(folder: string): (readonly [file: string, content: string])[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => !ASIDE.test(file))
    .map((file) => [file, contentOf(file)] as const);
}

function contentOf(file: string): string {
  const { size, mode } = statSync(file);
  const hash = size > HASHED_BYTES ? "" : createHash("sha256").update(readFileSync(file)).digest("hex");
  return `${(mode & 0o777).toString(8)} ${size} ${hash}`;
}

/** A VM's configuration, whatever its order. Its digest tells no more than the rest. */
function configIn({ digest, ...config }: Readonly<Record<string, string | number>>): string {
  return JSON.stringify(Object.entries(config).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Who may do what, whatever its order. */
function accessIn(file: string): string {
  const sorted = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map((each) => JSON.stringify(sorted(each))).sort();
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value)
        .map(([name, each]) => [name, sorted(each)] as const)
        .sort(([a], [b]) => (a < b ? -1 : 1)),
    );
  };
  return JSON.stringify(sorted(JSON.parse(readFileSync(file, "utf8"))));
}

/** What differs, a line for each. */
export function differences(before: Inventory, after: Inventory): string[] {
  return [...new Set([...before.keys(), ...after.keys()])]
    .filter((key) => before.get(key) !== after.get(key))
    .map((key) => `${key}: ${before.get(key) ?? "was not there"} → ${after.get(key) ?? "is gone"}`);
}
