import { homedir } from "node:os";
import { dirname, join } from "node:path";
import * as v from "valibot";
import { TaskError } from "../errors.ts";
import { CommandError, childEnv, type RunOptions, type RunResult, run } from "../process.ts";
import { quoteWords } from "../proxmox/index.ts";
import { clusterFailure } from "./failures.ts";
import { APPLY, FIELD_MANAGER } from "./field-manager.ts";

/** Which cluster kubectl talks to. */
export interface KubectlTarget {
  /** Path of the kubectl program. */
  readonly program: string;
  readonly kubeconfig: string;
  readonly context: string;
  /** How people name the kubeconfig in commands; the same file unless a tunnel needs a private copy. */
  readonly shownKubeconfig?: string;
}

/** kubectl on one context. Server-side apply throughout: Argo CD's largest CRD does not fit into an annotation. */
export class Kubectl {
  readonly target: KubectlTarget;

  constructor(target: KubectlTarget) {
    this.target = target;
  }

  /** Run a command. @throws {TaskError} when the cluster cannot be reached, {CommandError} when it refuses */
  async run(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    const { program, kubeconfig, context } = this.target;
    const where = [
      `--kubeconfig=${kubeconfig}`,
      `--context=${context}`,
      // Beside the kubeconfig, so that a sandbox's cluster is never taken for one with the same address.
      `--cache-dir=${join(dirname(this.target.shownKubeconfig ?? kubeconfig), "cache")}`,
    ];
    try {
      return await run(program, [...where, ...args], { env: childEnv(), ...options });
    } catch (error) {
      if (error instanceof CommandError) {
        throw clusterFailure(context, error, (...words) => this.shown(...words)) ?? error;
      }
      throw error;
    }
  }

  /** Read objects. @throws {TaskError} when the answer has another form */
  async get<Schema extends v.GenericSchema>(
    args: readonly string[],
    schema: Schema,
    options: RunOptions = {},
  ): Promise<v.InferOutput<Schema>> {
    const { stdout } = await this.run(["get", ...args, "-o", "json", "--ignore-not-found"], options);
    const parsed = v.safeParse(schema, stdout.trim() === "" ? { items: [] } : JSON.parse(stdout));
    if (parsed.success) return parsed.output;
    throw new TaskError({
      what: `kubectl get ${args.join(" ")}: the answer has another form than expected`,
      why: parsed.issues.map((issue) => `${v.getDotPath(issue) ?? "it"}: ${issue.message}`).join("\n"),
      todo: ["See what the cluster answers:", `$ ${this.shown("get", ...args, "-o", "json")}`],
    });
  }

  /**
   * Apply manifests, server-side.
   * @param force take over fields that others own
   * @throws {CommandError} in the API server's words
   */
  async apply(
    manifests: string,
    { force, ...options }: RunOptions & { readonly force: boolean },
  ): Promise<string[]> {
    const args = [...APPLY, ...(force ? ["--force-conflicts"] : []), "-f", "-"];
    const { stdout } = await this.run(args, { ...options, input: manifests });
    return stdout.split("\n").filter((line) => line !== "");
  }

  /** What applying would change, as a unified diff; empty when nothing would. */
  async diff(manifests: string, options: RunOptions = {}): Promise<string> {
    const flags = ["--server-side", `--field-manager=${FIELD_MANAGER}`, "--force-conflicts"];
    const { stdout } = await this.run(["diff", ...flags, "-f", "-"], {
      ...options,
      input: manifests,
      // 1: there are differences. More is an error.
      allow: [0, 1],
    });
    return stdout;
  }

  /** The command with which a person does the same. */
  shown(...args: readonly string[]): string {
    return shownKubectl(this.target, args);
  }
}

/** What a command to paste has to name. */
export type ShownTarget = Pick<KubectlTarget, "context" | "kubeconfig" | "shownKubeconfig">;

/** A kubectl command as a person pastes it; it names the kubeconfig where it is not the one that kubectl takes by itself. */
export function shownKubectl(
  { context, kubeconfig, shownKubeconfig = kubeconfig }: ShownTarget,
  args: readonly string[],
): string {
  const usual = shownKubeconfig === join(homedir(), ".kube", "config");
  const file = usual ? [] : [`--kubeconfig=${shownKubeconfig}`];
  return quoteWords(["kubectl", ...file, `--context=${context}`, ...args]);
}
