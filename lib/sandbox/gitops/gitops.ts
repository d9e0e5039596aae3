import { randomBytes } from "node:crypto";
import { messageOf } from "../../errors.ts";
import type { ClusterAccess } from "../control-plane/index.ts";
import { ArgoCd } from "./argo-cd.ts";
import { type GitOpsPrograms, locateGitOpsPrograms } from "./programs.ts";
import { recordRunning } from "./record.ts";
import { Restarts } from "./restarts.ts";

const PERIOD_MS = 500;
/** Milliseconds before programs that were not found are looked for again: somebody may be installing them. */
const LOOK_AGAIN_MS = 3_000;

const CONTROLLER = "/apis/apps/v1/namespaces/argocd/statefulsets/argocd-application-controller";
const SECRET = "/api/v1/namespaces/argocd/secrets/argocd-secret";

/**
 * Runs Argo CD's controllers while the cluster has the workload that would: as a kubelet does, it starts them when the
 * StatefulSet appears, again when they end, and ends them when it goes.
 */
export class GitOps {
  readonly #dir: string;
  readonly #access: ClusterAccess;
  readonly #log: (line: string) => void;
  readonly #argoCd: ArgoCd;
  readonly #end = new AbortController();
  readonly #restarts = new Restarts();
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> = Promise.resolve();
  #started = false;
  #said = "";

  /** @param dir a folder of its own below the cluster's */
  constructor(dir: string, access: ClusterAccess, log: (line: string) => void) {
    this.#dir = dir;
    this.#access = access;
    this.#log = log;
    this.#argoCd = new ArgoCd(dir);
  }

  /** Begin to watch the cluster. */
  start(): void {
    this.#timer = setTimeout(() => {
      this.#round = this.#look().catch((error: unknown) => this.#failed(error));
      void this.#round.then(() => {
        if (this.#timer !== undefined) this.start();
      });
    }, PERIOD_MS);
  }

  /** End the controllers, and the watching. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#end.abort();
    await this.#round;
    await this.#argoCd.stop();
    recordRunning(this.#dir, undefined);
  }

  async #look(): Promise<void> {
    const wanted = await this.#installed();
    // An API server that does not answer now says nothing of what is wanted.
    if (wanted === undefined) return;
    if (!wanted) {
      if (this.#started) await this.#stopAll();
      return;
    }
    if (this.#argoCd.running || !this.#restarts.due) return;
    if (this.#started) throw new Error(`Argo CD's controllers have ended:\n${this.#argoCd.lastLines()}`);
    const programs = await locateGitOpsPrograms();
    if (!("argocd" in programs)) {
      this.#say(`Argo CD syncs nothing: ${programs.map(({ name }) => name).join(", ")} not found`);
      this.#restarts.wait(LOOK_AGAIN_MS);
      return;
    }
    await this.#startAll(programs);
  }

  async #startAll(programs: GitOpsPrograms): Promise<void> {
    const before = performance.now();
    await this.#provideSigningKey();
    const kubeconfig = this.#access.kubeconfigFile("argocd-application-controller");
    await this.#argoCd.start(programs, kubeconfig, this.#end.signal);
    this.#started = true;
    this.#restarts.started();
    recordRunning(this.#dir, { version: programs.version });
    this.#say(`Argo CD's controllers ${programs.version} run (${Math.round(performance.now() - before)} ms)`);
  }

  async #stopAll(): Promise<void> {
    this.#started = false;
    this.#restarts.forget();
    await this.#argoCd.stop();
    recordRunning(this.#dir, undefined);
    this.#say("Argo CD's controllers were ended: they are no longer in the cluster");
  }

  /** Whether the cluster has the workload; undefined when that cannot be found out. */
  async #installed(): Promise<boolean | undefined> {
    try {
      const found = await this.#access.client.get<{ spec: { replicas?: number } }>(CONTROLLER);
      return found !== undefined && found.spec.replicas !== 0;
    } catch {
      return undefined;
    }
  }

  /** argocd-server makes it when it starts, and no part of Argo CD works without it; here that server is simulated. */
  async #provideSigningKey(): Promise<void> {
    const { client } = this.#access;
    const secret = await client.get<{ data?: Readonly<Record<string, string>> }>(SECRET);
    if (secret?.data?.["server.secretkey"] !== undefined) return;
    const key = Buffer.from(randomBytes(32).toString("base64")).toString("base64");
    await client.merge(SECRET, { data: { "server.secretkey": key } });
  }

  /** Try again later: a port that was free is taken, the API server is about to end. */
  async #failed(error: unknown): Promise<void> {
    if (this.#end.signal.aborted) return;
    this.#started = false;
    this.#restarts.failed();
    this.#say(messageOf(error));
    await this.#argoCd.stop();
    recordRunning(this.#dir, undefined);
  }

  #say(line: string): void {
    if (line !== this.#said) this.#log(line);
    this.#said = line;
  }
}

/** End the controllers that a killed sandbox has left running below a folder of its cluster. */
export async function endLeftControllers(dir: string): Promise<void> {
  await ArgoCd.endLeftovers(dir);
}
