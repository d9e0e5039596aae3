import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../../errors.ts";
import { locateTool } from "../../toolchain/index.ts";
import {
  type ClusterNode,
  ControlPlane,
  PROGRAMS,
  type Program,
  type ProgramPaths,
} from "../control-plane/index.ts";
import { endLeftControllers, GitOps } from "../gitops/index.ts";
import { readIfThere, writeJsonAtomic } from "../world/index.ts";

const START_ATTEMPTS = 3;
/** systemd waits five seconds before it starts k3s again; nobody has to wait so long here. */
const RESTART_MS = 1_000;
/** As with systemd, a service that dies so often in so short a time is not started any more. */
const DEATHS = 5;
const DEATHS_WITHIN_MS = 120_000;

/** What k3s on a guest would report of itself. */
export type ClusterState = "activating" | "active" | "failed" | "inactive";

/**
 * The one cluster of the sandbox: its first machine brings the control plane up, further ones join it. Starting takes
 * seconds and goes on in the background, as k3s does; one thing happens after another.
 */
export class Cluster {
  readonly #dir: string;
  readonly #log: (line: string) => void;
  /** The machines that run. */
  readonly #nodes = new Map<number, ClusterNode>();
  /** Those that ever joined and have not been destroyed, running or not. */
  readonly #members: Map<number, ClusterNode>;
  #controlPlane: ControlPlane | undefined;
  #gitOps: GitOps | undefined;
  #last: Promise<void> = Promise.resolve();
  #interrupt = new AbortController();
  #state: ClusterState = "inactive";
  #journal: string[] = [];
  /** When programs of the control plane have died: milliseconds since the epoch. */
  #deaths: readonly number[] = [];

  constructor(dir: string, log: (line: string) => void) {
    this.#dir = dir;
    this.#log = log;
    const members = JSON.parse(readIfThere(this.#membersFile) ?? "[]") as [number, ClusterNode][];
    this.#members = new Map(members);
  }

  get state(): ClusterState {
    return this.#state;
  }

  /** What `journalctl -u k3s` shows. */
  get journal(): readonly string[] {
    return this.#journal;
  }

  get controlPlane(): ControlPlane | undefined {
    return this.#state === "active" ? this.#controlPlane : undefined;
  }

  /** End what a killed sandbox has left running, whether or not a machine of the cluster runs now. */
  async endLeftovers(): Promise<void> {
    await endLeftControllers(this.#gitOpsDir);
    await ControlPlane.endLeftovers(this.#dir);
  }

  /** A machine has booted. */
  join(vmid: number, node: ClusterNode): void {
    this.#nodes.set(vmid, node);
    this.#members.set(vmid, node);
    this.#saveMembers();
    void this.#afterLast(async () => {
      // It may have been switched off again in the meantime.
      if (!this.#nodes.has(vmid)) return;
      if (this.#controlPlane === undefined) await this.#start(node);
      else await this.#controlPlane.join(node, this.#addresses());
    });
  }

  /** A machine was switched off; with the last one the control plane ends. */
  async leave(vmid: number): Promise<void> {
    const node = this.#nodes.get(vmid);
    if (node === undefined) return;
    this.#nodes.delete(vmid);
    if (this.#nodes.size === 0) this.#interrupt.abort();
    await this.#afterLast(async () => {
      if (this.#nodes.size > 0) await this.#controlPlane?.leave(node);
      else await this.#stop();
    });
  }

  /** A machine's disk is gone; with the last one's the cluster's data are. */
  async forget(vmid: number): Promise<void> {
    if (!this.#members.delete(vmid)) return;
    if (this.#members.size > 0) this.#saveMembers();
    else await this.#afterLast(async () => await rm(this.#dir, { recursive: true, force: true }));
  }

  async #start(node: ClusterNode): Promise<void> {
    this.#state = "activating";
    this.#say(`Starting k3s ${node.k3sVersion}`);
    const programs = await locatePrograms();
    if ("missing" in programs) {
      throw new Error(`${programs.missing.join(", ")} not found; npm run setup -- --for sandbox gets them`);
    }
    const started = performance.now();
    const controlPlane = await this.#tryStart(node, programs.paths);
    for (const [vmid, member] of this.#members) {
      if (!this.#nodes.has(vmid)) await controlPlane.leave(member);
    }
    const { access } = controlPlane;
    if (access !== undefined) {
      this.#gitOps = new GitOps(this.#gitOpsDir, access, this.#log);
      this.#gitOps.start();
    }
    this.#state = "active";
    void controlPlane.death().then((why) => this.#died(controlPlane, why));
    this.#say(`k3s is up and running (${Math.round(performance.now() - started)} ms)`);
  }

  /** Of k3s, which is one process, everything ends at once; systemd starts it again. */
  async #died(controlPlane: ControlPlane, why: string): Promise<void> {
    if (this.#controlPlane !== controlPlane) return;
    this.#state = "failed";
    this.#say(`k3s failed: ${why}`);
    const now = Date.now();
    this.#deaths = [...this.#deaths.filter((at) => now - at < DEATHS_WITHIN_MS), now];
    const again = this.#deaths.length < DEATHS;
    await this.#afterLast(async () => {
      if (this.#controlPlane !== controlPlane) return;
      // Without etcd the API server does not end in order.
      await controlPlane.stop("SIGKILL");
      await this.#stop();
      this.#state = "failed";
      if (!again) this.#say("k3s failed too often to be started again");
      await sleep(again ? RESTART_MS : 0);
      const [node] = this.#nodes.values();
      if (again && node !== undefined) await this.#start(node);
    });
  }

  /** systemd starts k3s again when it fails; here the usual reason is that somebody took a port that was free. */
  async #tryStart(node: ClusterNode, paths: ProgramPaths): Promise<ControlPlane> {
    this.#interrupt = new AbortController();
    const { signal } = this.#interrupt;
    if (this.#nodes.size === 0) this.#interrupt.abort();
    for (let attempt = 1; ; attempt += 1) {
      const controlPlane = new ControlPlane(this.#dir, paths);
      this.#controlPlane = controlPlane;
      try {
        await controlPlane.start(node, this.#addresses(), signal);
        return controlPlane;
      } catch (error) {
        await controlPlane.stop("SIGKILL");
        if (signal.aborted || attempt === START_ATTEMPTS) throw error;
        this.#say(`k3s failed and starts again: ${messageOf(error)}`);
      }
    }
  }

  async #stop(): Promise<void> {
    await this.#gitOps?.stop();
    this.#gitOps = undefined;
    await this.#controlPlane?.stop();
    this.#controlPlane = undefined;
    this.#state = "inactive";
  }

  /** Each step waits for those before it. One that fails is k3s's failure, not that of whoever asked. */
  async #afterLast(step: () => Promise<void>): Promise<void> {
    this.#last = this.#last.then(step).catch(async (error: unknown) => {
      const wanted = this.#nodes.size > 0;
      // The control plane of a running cluster outlives a machine that could not join.
      if (this.#state !== "active") await this.#stop();
      if (!wanted) return;
      if (this.#state !== "active") this.#state = "failed";
      this.#say(`k3s failed: ${messageOf(error)}`);
    });
    await this.#last;
  }

  #addresses(): readonly ClusterNode[] {
    return [...this.#members.values()];
  }

  #say(line: string): void {
    this.#journal.push(`${new Date().toISOString()} ${line}`);
    this.#log(line);
  }

  get #gitOpsDir(): string {
    return join(this.#dir, "argocd");
  }

  get #membersFile(): string {
    return join(this.#dir, "members.json");
  }

  #saveMembers(): void {
    writeJsonAtomic(this.#membersFile, [...this.#members]);
  }
}

async function locatePrograms(): Promise<{ paths: ProgramPaths } | { missing: readonly Program[] }> {
  const found = await Promise.all(
    PROGRAMS.map(async (name) => [name, (await locateTool(name))?.path] as const),
  );
  const missing = found.filter(([, path]) => path === undefined).map(([name]) => name);
  return missing.length > 0 ? { missing } : { paths: Object.fromEntries(found) as unknown as ProgramPaths };
}
