import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { TaskError } from "../errors.ts";
import { type NodeShell, openTunnel, type Tunnel } from "../proxmox/index.ts";
import { temporaryFolder } from "../temporary.ts";
import { clusterOf, throughProxy } from "./kubeconfig.ts";
import { readKubeconfig } from "./kubeconfig-file.ts";
import { Kubectl, shownKubectl } from "./kubectl.ts";

/** How a task reaches a cluster. */
export interface ClusterAccess {
  readonly context: string;
  readonly kubeconfig: string;
  /** Path of kubectl; got when it is missing. */
  program(): Promise<string>;
  /** The jump host, where only the Proxmox node reaches the VMs. */
  readonly jump?: NodeShell;
}

/** kubectl for the steps of a task, opened by the first that needs it; behind a jump host with a tunnel of its own. */
export class ClusterSession {
  readonly access: ClusterAccess;
  #opened: Promise<Kubectl> | undefined;
  #tunnel: Tunnel | undefined;
  #folder: string | undefined;

  constructor(access: ClusterAccess) {
    this.access = access;
  }

  /** @throws {TaskError} when the kubeconfig lacks the context, or the tunnel does not open */
  async kubectl(signal: AbortSignal): Promise<Kubectl> {
    this.#opened ??= this.#open(signal);
    try {
      return await this.#opened;
    } catch (error) {
      this.#opened = undefined;
      throw error;
    }
  }

  /** A kubectl command as a person pastes it. */
  shown(...args: readonly string[]): string {
    return shownKubectl(this.access, args);
  }

  /** End the tunnel and remove its private kubeconfig. */
  async close(): Promise<void> {
    this.#opened = undefined;
    await this.#tunnel?.close();
    this.#tunnel = undefined;
    if (this.#folder !== undefined) await rm(this.#folder, { recursive: true, force: true });
    this.#folder = undefined;
  }

  async #open(signal: AbortSignal): Promise<Kubectl> {
    const { context, kubeconfig, jump } = this.access;
    const program = await this.access.program();
    const text = await readKubeconfig(kubeconfig);
    if (text === undefined || clusterOf(text, context) === undefined) {
      throw new TaskError({
        what: `There is no context ${context} in ${kubeconfig}`,
        why: text === undefined ? "There is no such file" : "The cluster's kubeconfig was not fetched yet",
        todo: ["Fetch it from the cluster's VM:", "$ npm run kubeconfig"],
      });
    }
    if (jump === undefined) return new Kubectl({ program, kubeconfig, context });
    this.#tunnel = await openTunnel(jump, signal);
    this.#folder = temporaryFolder("homelab-kube");
    const file = join(this.#folder, "config");
    await writeFile(file, throughProxy(text, context, this.#tunnel.proxyUrl), { mode: 0o600 });
    return new Kubectl({ program, kubeconfig: file, context, shownKubeconfig: kubeconfig });
  }
}
