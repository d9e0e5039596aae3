import { randomBytes } from "node:crypto";
import { mkdirSync, rmSync, symlinkSync } from "node:fs";
import { connect } from "node:net";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePorts } from "../../free-ports.ts";
import { Component } from "../control-plane/index.ts";
import { writeFileAtomic } from "../world/index.ts";
import type { GitOpsPrograms } from "./programs.ts";
import { removeWorkFolder } from "./work-folder.ts";

/** The processes, in the order in which they start. */
const NAMES = ["redis-server", "argocd-repo-server", "argocd-application-controller"] as const;
type Name = (typeof NAMES)[number];

/** How often an Application is compared with Git without anybody asking; a real installation takes minutes. */
const RECONCILE = "10s";
/** How long errors of the repo server are kept to itself before an Application shows them; a real one: three minutes. */
const REPO_ERROR_GRACE = "0";
const REPO_SERVER_MS = 20_000;

/**
 * Argo CD's own application controller and repo server, outside of the cluster that they manage, with a Redis between
 * them. They are the programs of the real pods, with the settings of their manifests but for what is named here.
 */
export class ArgoCd {
  readonly #dir: string;
  readonly #components: Readonly<Record<Name, Component>>;

  /** @param dir its folder: logs, clones of repositories; private to it */
  constructor(dir: string) {
    this.#dir = dir;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    this.#components = {
      "redis-server": new Component("redis-server", dir),
      "argocd-repo-server": new Component("argocd-repo-server", dir),
      "argocd-application-controller": new Component("argocd-application-controller", dir),
    };
  }

  /** Whether all of them run. */
  get running(): boolean {
    return Object.values(this.#components).every(({ running }) => running);
  }

  /** The last lines of each log, for errors. */
  lastLines(): string {
    return NAMES.map((name) => `${name}: ${this.#components[name].lastLines(2)}`).join("\n");
  }

  /** End what a killed sandbox has left running in a folder. */
  static async endLeftovers(dir: string): Promise<void> {
    for (const name of NAMES) await new Component(name, dir).endLeftover();
    removeWorkFolder(workFolder(dir));
  }

  /**
   * Start all of them anew.
   * @param kubeconfig who the controller is in the cluster, and where that is
   */
  async start(programs: GitOpsPrograms, kubeconfig: string, signal: AbortSignal): Promise<void> {
    await this.stop();
    await ArgoCd.endLeftovers(this.#dir);
    const [redis, repo, repoMetrics, metrics] = (await freePorts(4)) as [number, number, number, number];
    // Nobody else on this machine is to read or change what they keep in it.
    const password = randomBytes(24).toString("base64url");
    const common = {
      REDIS_PASSWORD: password,
      ARGOCD_GPG_ENABLED: "false",
      ARGOCD_RECONCILIATION_TIMEOUT: RECONCILE,
      ARGOCD_RECONCILIATION_JITTER: "0",
      ARGOCD_APP_CONF_PATH: this.#folder("app"),
      ARGOCD_TLS_DATA_PATH: this.#folder("app", "tls"),
      ARGOCD_SSH_DATA_PATH: this.#folder("app", "ssh"),
      HOME: this.#folder("home"),
      // A person's own settings for Git are not the pod's.
      GIT_CONFIG_NOSYSTEM: "1",
      XDG_CONFIG_HOME: this.#folder("home", ".config"),
    };
    await this.#startRedis(programs.redis, redis, password);
    await this.#start("argocd-repo-server", programs.argocd, {
      args: [
        ...["--address=127.0.0.1", `--port=${repo}`],
        ...["--metrics-address=127.0.0.1", `--metrics-port=${repoMetrics}`],
        `--redis=127.0.0.1:${redis}`,
      ],
      env: {
        ...common,
        PATH: `${this.#callable(programs.called)}${delimiter}${process.env.PATH ?? ""}`,
        TMPDIR: workFolder(this.#dir),
        ARGOCD_PLUGINSOCKFILEPATH: this.#folder("plugins"),
        // Relative to where it runs: the path of a socket may have 107 bytes.
        ARGOCD_ASK_PASS_SOCK: "ask-pass.sock",
      },
    });
    // A controller that finds no repo server tells each Application's owner so.
    await this.#untilListening(repo, signal);
    await this.#start("argocd-application-controller", programs.argocd, {
      args: [
        "--namespace=argocd",
        `--repo-server=127.0.0.1:${repo}`,
        `--redis=127.0.0.1:${redis}`,
        // It listens on all addresses with its metrics, and has no setting for that.
        `--metrics-port=${metrics}`,
      ],
      env: {
        ...common,
        KUBECONFIG: kubeconfig,
        ARGOCD_FAKE_IN_CLUSTER: "true",
        ARGOCD_REPO_ERROR_GRACE_PERIOD_SECONDS: REPO_ERROR_GRACE,
      },
    });
  }

  async stop(): Promise<void> {
    // The other way round: what is to end should miss nothing.
    for (const name of [...NAMES].reverse()) await this.#components[name].stop();
    removeWorkFolder(workFolder(this.#dir));
  }

  async #startRedis(program: string, port: number, password: string): Promise<void> {
    const file = join(this.#dir, "redis.conf");
    // A cache: nothing of it is worth keeping.
    const lines = ["bind 127.0.0.1", `port ${port}`, `requirepass ${password}`, 'save ""', "appendonly no"];
    writeFileAtomic(file, `${lines.join("\n")}\n`);
    await this.#components["redis-server"].start(program, ["redis.conf"], { cwd: this.#dir });
  }

  async #start(
    name: Exclude<Name, "redis-server">,
    program: string,
    { args, env }: { readonly args: readonly string[]; readonly env: Readonly<Record<string, string>> },
  ): Promise<void> {
    mkdirSync(workFolder(this.#dir), { recursive: true, mode: 0o700 });
    rmSync(join(this.#dir, "ask-pass.sock"), { force: true });
    await this.#components[name].start(program, args, {
      cwd: this.#dir,
      env: { ...env, ARGOCD_BINARY_NAME: name },
    });
  }

  async #untilListening(port: number, signal: AbortSignal): Promise<void> {
    const repoServer = this.#components["argocd-repo-server"];
    const deadline = Date.now() + REPO_SERVER_MS;
    while (!(await listens(port))) {
      if (!repoServer.running || Date.now() > deadline) {
        throw new Error(`argocd-repo-server does not serve:\n${this.lastLines()}`);
      }
      await sleep(50, undefined, { signal });
    }
  }

  /** A folder with the programs under their names, for PATH. */
  #callable(programs: GitOpsPrograms["called"]): string {
    const bin = this.#folder("bin");
    for (const [name, path] of Object.entries(programs)) {
      rmSync(join(bin, name), { force: true });
      symlinkSync(path, join(bin, name));
    }
    return bin;
  }

  #folder(...names: readonly string[]): string {
    const folder = join(this.#dir, ...names);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return folder;
  }
}

function workFolder(dir: string): string {
  return join(dir, "work");
}

async function listens(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    // A socket that has failed is destroyed already.
    socket.once("error", () => resolve(false));
  });
}
