import { Agent, type RequestOptions, request } from "node:https";
import * as v from "valibot";
import { TaskError } from "../../errors.ts";
import { registerSecret } from "../../secrets.ts";
import { upidAnswer } from "./answers.ts";
import { unreachable } from "./failures.ts";
import { type Answer, parseAnswer } from "./parse-answer.ts";
import { pause } from "./pause.ts";
import { type TlsTrust, tlsOptions } from "./tls.ts";
import { type FormFile, type FormOptions, postForm } from "./upload.ts";
import { type WaitOptions, waitForWorker } from "./worker.ts";

/** How the API is reached. */
export interface ApiAccess {
  /** With /api2/json. */
  readonly url: URL;
  /** "USER@REALM!TOKENID" */
  readonly tokenId: string;
  readonly tokenSecret: string;
  readonly tls: TlsTrust;
  /** Milliseconds that a call may go without an answer; half a minute when it is left out. */
  readonly timeoutMs?: number;
  /** How many connections it may have at once; any number when it is left out. */
  readonly connections?: number;
  /** False for those who only look: what gave no answer in time is not asked again. */
  readonly asksAgain?: boolean;
}

export type Params = Readonly<Record<string, string | number | boolean>>;
type Method = "GET" | "POST" | "PUT" | "DELETE";

const TIMEOUT_MS = 30_000;
/** GET changes nothing, so a connection that broke may be tried again. */
const GET_ATTEMPTS = 3;

/** The HTTPS API of a Proxmox VE node. @see https://pve.proxmox.com/pve-docs/api-viewer/ */
export class ProxmoxApi {
  readonly #access: ApiAccess;
  #heard: HeardClock | undefined;
  #agent: Promise<Agent> | undefined;

  constructor(access: ApiAccess) {
    this.#access = access;
    registerSecret(access.tokenSecret);
  }

  /**
   * Read something.
   * @param path below /api2/json
   * @throws {ApiFailure} when the API refuses, {TaskError} when it cannot be reached
   */
  async get<Schema extends v.GenericSchema>(
    path: string,
    schema: Schema,
    params: Params = {},
    signal?: AbortSignal,
  ): Promise<v.InferOutput<Schema>> {
    return await this.#call("GET", path, schema, params, signal);
  }

  /** Start a worker and wait for its end. @throws {TaskError} with the worker's last words */
  async runTask(
    method: "POST" | "PUT" | "DELETE",
    path: string,
    params: Params,
    options: WaitOptions = {},
  ): Promise<void> {
    const upid = await this.#call(method, path, upidAnswer, params, options.signal);
    await this.waitFor(upid, options);
  }

  /** Change something at once, without a worker. */
  async change(method: "POST" | "PUT", path: string, params: Params, signal?: AbortSignal): Promise<void> {
    await this.#call(method, path, v.unknown(), params, signal);
  }

  /** Wait for a worker; its log is handed on line by line. */
  async waitFor(upid: string, options: WaitOptions = {}): Promise<void> {
    await waitForWorker(this, upid, options);
  }

  /**
   * Send a file and wait until the node has put it in its place.
   * @param fields the form's other fields
   * @throws {ApiFailure} when the API refuses, {TaskError} when the connection breaks or the node's task fails
   */
  async uploadFile(
    path: string,
    fields: Readonly<Record<string, string>>,
    file: FormFile,
    options: FormOptions,
  ): Promise<void> {
    const { url } = this.#access;
    const call = `POST ${path}`;
    const { signal } = options;
    let answer: Answer;
    try {
      const way = { agent: await this.#connections(), authorization: this.#authorization };
      answer = await postForm(addressOf(url, path), way, fields, file, options);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof TaskError) throw error;
      throw await unreachable(url, error, call);
    }
    await this.waitFor(parseAnswer(call, answer, upidAnswer), { signal });
  }

  /** What the node's clock has shown in the quickest answer so far: a web server dates each of them. */
  get heardClock(): HeardClock | undefined {
    return this.#heard;
  }

  /** The host that it talks to. */
  get host(): string {
    return this.#access.url.hostname.replace(/^\[|\]$/g, "");
  }

  /** Close the connections that are kept open. */
  async close(): Promise<void> {
    (await this.#agent?.catch(() => undefined))?.destroy();
  }

  async #call<Schema extends v.GenericSchema>(
    method: Method,
    path: string,
    schema: Schema,
    params: Params,
    signal: AbortSignal | undefined,
  ): Promise<v.InferOutput<Schema>> {
    const { url } = this.#access;
    for (let attempt = 1; ; attempt += 1) {
      signal?.throwIfAborted();
      try {
        return parseAnswer(`${method} ${path}`, await this.#send(method, path, params, signal), schema);
      } catch (error) {
        signal?.throwIfAborted();
        if (error instanceof TaskError) throw error;
        const { code = "" } = error as NodeJS.ErrnoException;
        const broken = /^(ECONNRESET|EPIPE|ETIMEDOUT)$/.test(code);
        const again = code !== "ETIMEDOUT" || this.#access.asksAgain !== false;
        if (broken && again && method === "GET" && attempt < GET_ATTEMPTS) {
          await pause(200 * 2 ** attempt, signal);
          continue;
        }
        const failure = await unreachable(
          url,
          error,
          broken && method !== "GET" ? `${method} ${path}` : undefined,
        );
        signal?.throwIfAborted();
        throw failure;
      }
    }
  }

  /** Asking for the certificate may fail now and work when the node is up. */
  async #connections(): Promise<Agent> {
    const { url, tls, connections = Number.POSITIVE_INFINITY } = this.#access;
    const kept = { keepAlive: true, maxSockets: connections };
    this.#agent ??= tlsOptions(url, tls).then((options) => new Agent({ ...kept, ...options }));
    try {
      return await this.#agent;
    } catch (error) {
      this.#agent = undefined;
      throw error;
    }
  }

  get #authorization(): string {
    const { tokenId, tokenSecret } = this.#access;
    return `PVEAPIToken=${tokenId}=${tokenSecret}`;
  }

  #hear(date: string | undefined, sentAt: number): void {
    const theirs = Date.parse(date ?? "");
    const receivedAt = Date.now();
    if (Number.isNaN(theirs)) return;
    const before = this.#heard;
    if (before !== undefined && before.receivedAt - before.sentAt <= receivedAt - sentAt) return;
    this.#heard = { theirs, sentAt, receivedAt };
  }

  async #send(
    method: Method,
    path: string,
    params: Params,
    signal: AbortSignal | undefined,
  ): Promise<Answer> {
    const { url } = this.#access;
    const agent = await this.#connections();
    const fields = Object.entries(params).map(([key, value]): [string, string] => [key, formValue(value)]);
    const form = new URLSearchParams(fields).toString();
    const inBody = method === "POST" || method === "PUT";
    const options: RequestOptions = {
      method,
      agent,
      timeout: this.#access.timeoutMs ?? TIMEOUT_MS,
      headers: {
        authorization: this.#authorization,
        ...(inBody ? { "content-type": "application/x-www-form-urlencoded" } : {}),
      },
      ...(signal ? { signal } : {}),
    };
    const target = `${addressOf(url, path)}${inBody || form === "" ? "" : `?${form}`}`;
    const sentAt = Date.now();
    return await new Promise((resolve, reject) => {
      const outgoing = request(target, options, (answer) => {
        this.#hear(answer.headers.date, sentAt);
        const chunks: Buffer[] = [];
        answer.on("data", (chunk: Buffer) => chunks.push(chunk));
        answer.on("error", reject);
        answer.on("end", () =>
          resolve({
            status: answer.statusCode ?? 0,
            reason: answer.statusMessage ?? "",
            body: Buffer.concat(chunks).toString("utf8"),
          }),
        );
      });
      outgoing.on("timeout", () =>
        outgoing.destroy(Object.assign(new Error("no answer"), { code: "ETIMEDOUT" })),
      );
      outgoing.on("error", reject);
      outgoing.end(inBody ? form : undefined);
    });
  }
}

/** A look at the node's clock. */
export interface HeardClock {
  /** What it showed, in milliseconds since the epoch; it shows whole seconds. */
  readonly theirs: number;
  /** Between these two moments of our own clock. */
  readonly sentAt: number;
  readonly receivedAt: number;
}

/**
 * The address of a path of the API.
 * @throws {Error} where a segment is a dot or two, which lead to another path however they are encoded
 */
function addressOf(url: URL, path: string): string {
  const address = `${url.href}${path}`;
  if (new URL(address).pathname === `${url.pathname}${path}`) return address;
  throw new Error(`${path} is no path of the API`);
}

function formValue(value: string | number | boolean): string {
  return typeof value === "boolean" ? (value ? "1" : "0") : String(value);
}
