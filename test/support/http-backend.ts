import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";

/**
 * A server for OpenTofu's http backend: one state, one lock, one account.
 * @see https://opentofu.org/docs/language/settings/backends/http/
 */
export class HttpBackend {
  readonly #server: Server;
  readonly #authorization: string;
  /** The state as it was written last. */
  state: string | undefined;
  /** Who holds the lock, in OpenTofu's own words. */
  lock: string | undefined;
  /** Method and answer of each request, in order. */
  readonly log: string[] = [];

  private constructor(user: string, password: string) {
    this.#authorization = `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
    this.#server = createServer(async (request, response) => {
      const status = this.#answer(request, await bodyOf(request));
      this.log.push(`${request.method} ${status}`);
      response.statusCode = status;
      if (status === 200 && request.method === "GET") response.end(this.state);
      else if (status === 423) response.end(this.lock);
      else response.end();
    });
  }

  static async start(user: string, password: string): Promise<HttpBackend> {
    const backend = new HttpBackend(user, password);
    await new Promise<void>((resolve) => backend.#server.listen(0, "127.0.0.1", resolve));
    return backend;
  }

  get address(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/k3s-single`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #answer({ method, url = "", headers }: IncomingMessage, body: string): number {
    if (headers.authorization !== this.#authorization) return 401;
    switch (method) {
      case "GET":
        return this.state === undefined ? 404 : 200;
      case "POST":
        if (idOf(this.lock) !== new URL(url, this.address).searchParams.get("ID")) return 409;
        this.state = body;
        return 200;
      case "LOCK":
        if (this.lock !== undefined) return 423;
        this.lock = body;
        return 200;
      case "UNLOCK":
        if (idOf(body) !== idOf(this.lock)) return 409;
        this.lock = undefined;
        return 200;
      default:
        return 405;
    }
  }
}

function idOf(lock: string | undefined): string | undefined {
  return lock === undefined ? undefined : (JSON.parse(lock) as { ID: string }).ID;
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = "";
  for await (const chunk of request.setEncoding("utf8")) body += String(chunk);
  return body;
}
