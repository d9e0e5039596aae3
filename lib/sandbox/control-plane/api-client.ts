import { Agent, request } from "node:https";
import type { Pair } from "../x509.ts";

interface CallOptions {
  /** Of the body: what follows "application/". */
  readonly type?: string;
  readonly object?: unknown;
  readonly timeoutMs?: number;
}

/** The few calls with which the sandbox plays kubelet and k3s: nodes, the storage class and its volumes. */
export class KubernetesClient {
  readonly #port: number;
  readonly #agent: Agent;

  constructor(port: number, ca: Pair, client: Pair) {
    this.#port = port;
    this.#agent = new Agent({ ca: ca.cert, cert: client.cert, key: client.key, keepAlive: true });
  }

  /** Whether the API server says it is ready. While it starts it takes connections, and answers nothing. */
  async ready(): Promise<boolean> {
    try {
      return (await this.#call("GET", "/readyz", { timeoutMs: 1000 })).status === 200;
    } catch {
      return false;
    }
  }

  /** All objects of a kind. */
  async list<T>(path: string): Promise<readonly T[]> {
    const { status, body } = await this.#call("GET", path);
    if (status >= 300) throw new Error(`${path}: ${status} ${body}`);
    return (JSON.parse(body) as { items: readonly T[] }).items;
  }

  /** An object; undefined where there is none. */
  async get<T>(path: string): Promise<T | undefined> {
    const { status, body } = await this.#call("GET", path);
    if (status === 404) return undefined;
    if (status >= 300) throw new Error(`${path}: ${status} ${body}`);
    return JSON.parse(body) as T;
  }

  /** Create or change an object by server-side apply. */
  async apply(path: string, object: Readonly<Record<string, unknown>>): Promise<void> {
    const query = "?fieldManager=k3s&force=true";
    const { status, body } = await this.#call("PATCH", `${path}${query}`, {
      type: "apply-patch+yaml",
      object,
    });
    if (status >= 300) throw new Error(`${path}: ${status} ${body}`);
  }

  /** Change some members of an object; null removes one. An object that is gone is no error. */
  async merge(path: string, change: Readonly<Record<string, unknown>>): Promise<void> {
    const { status, body } = await this.#call("PATCH", path, { type: "merge-patch+json", object: change });
    if (status >= 300 && status !== 404) throw new Error(`${path}: ${status} ${body}`);
  }

  /** Remove an object; one that is gone is no error. */
  async remove(path: string): Promise<void> {
    const { status, body } = await this.#call("DELETE", path);
    if (status >= 300 && status !== 404) throw new Error(`${path}: ${status} ${body}`);
  }

  close(): void {
    this.#agent.destroy();
  }

  async #call(
    method: string,
    path: string,
    { type = "json", object, timeoutMs = 10_000 }: CallOptions = {},
  ): Promise<{ status: number; body: string }> {
    return await new Promise((resolve, reject) => {
      const outgoing = request(
        {
          host: "127.0.0.1",
          port: this.#port,
          method,
          path,
          agent: this.#agent,
          signal: AbortSignal.timeout(timeoutMs),
          headers: { "content-type": `application/${type}` },
        },
        (answer) => {
          let body = "";
          answer.setEncoding("utf8");
          answer.on("data", (chunk: string) => {
            body += chunk;
          });
          answer.on("end", () => resolve({ status: answer.statusCode ?? 0, body }));
          answer.on("error", reject);
        },
      );
      outgoing.on("error", reject);
      outgoing.end(object === undefined ? undefined : JSON.stringify(object));
    });
  }
}
