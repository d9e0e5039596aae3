import { rm } from "node:fs/promises";
import { messageOf } from "../../errors.ts";
import { locateTool } from "../../toolchain/index.ts";
import {
  type ClusterNode,
  ControlPlane,
  PROGRAMS,
  type Program,
  type ProgramPaths,
} from "../control-plane/index.ts";

/** What k3s on a guest would report of itself. */
export type ClusterState = "activating" | "active" | "failed" | "inactive";

/**
 * The one cluster of the sandbox: its first machine brings the control plane up, further ones join it. Starting takes
 * seconds and goes on in the background, as k3s does.
 */
export class Cluster {
  readonly #dir: string;
  readonly #log: (line: string) => void;
  readonly #nodes = new Map<number, ClusterNode>();
  #controlPlane: ControlPlane | undefined;
  #starting: Promise<void> = Promise.resolve();
  #interrupt = new AbortController();
  #state: ClusterState = "inactive";
  #journal: string[] = [];

  constructor(dir: string, log: (line: string) => void) {
    this.#dir = dir;
    this.#log = log;
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

  /** A machine has booted. */
  join(vmid: number, node: ClusterNode): void {
    const first = this.#nodes.size === 0;
    this.#nodes.set(vmid, node);
    this.#starting = this.#starting
      .then(async () => (first ? await this.#start(node) : await this.#controlPlane?.join(node)))
      .catch((error: unknown) => this.#fail(messageOf(error)));
  }

  /** A machine was switched off; with the last one the control plane ends. */
  async leave(vmid: number): Promise<void> {
    if (!this.#nodes.delete(vmid) || this.#nodes.size > 0) return;
    this.#interrupt.abort();
    await this.#starting;
    await this.#controlPlane?.stop();
    this.#controlPlane = undefined;
    this.#interrupt = new AbortController();
    this.#state = "inactive";
  }

  /** The last machine's disk is gone, and the cluster's data with it. */
  async forget(): Promise<void> {
    if (this.#nodes.size === 0) await rm(this.#dir, { recursive: true, force: true });
  }

  async #start(node: ClusterNode): Promise<void> {
    this.#state = "activating";
    this.#say(`Starting k3s ${node.k3sVersion}`);
    const programs = await locatePrograms();
    if ("missing" in programs) {
      this.#fail(`${programs.missing.join(", ")} not found; npm run setup -- --for sandbox gets them`);
      return;
    }
    const started = performance.now();
    this.#controlPlane = new ControlPlane(this.#dir, programs.paths);
    await this.#controlPlane.start(node, this.#interrupt.signal);
    this.#state = "active";
    this.#say(`k3s is up and running (${Math.round(performance.now() - started)} ms)`);
  }

  #fail(why: string): void {
    this.#state = "failed";
    this.#say(`k3s failed: ${why}`);
  }

  #say(line: string): void {
    this.#journal.push(`${new Date().toISOString()} ${line}`);
    this.#log(line);
  }
}

async function locatePrograms(): Promise<{ paths: ProgramPaths } | { missing: readonly Program[] }> {
  const found = await Promise.all(
    PROGRAMS.map(async (name) => [name, (await locateTool(name))?.path] as const),
  );
  const missing = found.filter(([, path]) => path === undefined).map(([name]) => name);
  return missing.length > 0 ? { missing } : { paths: Object.fromEntries(found) as unknown as ProgramPaths };
}
