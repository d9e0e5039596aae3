import * as v from "valibot";
import { contentAnswer, nodesAnswer, number } from "./api/answers.ts";
import type { ProxmoxApi } from "./api/client.ts";
import { contentPath, nodePath } from "./api/paths.ts";

/** What the API says of a node, as far as a token may see it. */

const storagesAnswer = v.array(
  v.object({
    storage: v.string(),
    type: v.string(),
    content: v.optional(v.string(), ""),
    active: v.optional(v.pipe(v.union([v.number(), v.string(), v.boolean()]), v.transform(Number)), 0),
    enabled: v.optional(v.pipe(v.union([v.number(), v.string(), v.boolean()]), v.transform(Number)), 1),
    avail: v.optional(number, 0),
    total: v.optional(number, 0),
  }),
);
const bridgesAnswer = v.array(v.object({ iface: v.string() }));
const tokenAnswer = v.object({ expire: v.optional(number, 0) });
const timeAnswer = v.object({ time: number });
const dnsAnswer = v.object({
  dns1: v.optional(v.string()),
  dns2: v.optional(v.string()),
  dns3: v.optional(v.string()),
});
const nextIdAnswer = v.pipe(v.union([v.string(), v.number()]), v.transform(Number));
const hardwareAnswer = v.object({ cpuinfo: v.object({ flags: v.optional(v.string(), "") }) });

/** A member of the cluster. */
export interface ClusterNode {
  readonly node: string;
  /** "online", "offline" or "unknown". */
  readonly status: string;
}

/** A storage, as the node has it. */
export interface NodeStorage {
  readonly name: string;
  /** "dir", "lvmthin", … */
  readonly type: string;
  /** What it may hold: "images", "iso", … */
  readonly content: readonly string[];
  readonly active: boolean;
  readonly enabled: boolean;
  /** Bytes. */
  readonly free: number;
  readonly total: number;
}

/** Reads about one node. With a client that remembers, each thing is asked once. */
export class NodeFacts {
  readonly #api: ProxmoxApi;
  readonly #node: string;
  readonly #signal: AbortSignal;

  constructor(api: ProxmoxApi, node: string, signal: AbortSignal) {
    this.#api = api;
    this.#node = node;
    this.#signal = signal;
  }

  async nodes(): Promise<ClusterNode[]> {
    return await this.#api.get("/nodes", nodesAnswer, {}, this.#signal);
  }

  /** Those that the token may audit or use. @see GET /nodes/{node}/storage */
  async storages(): Promise<NodeStorage[]> {
    const rows = await this.#api.get(`${nodePath(this.#node)}/storage`, storagesAnswer, {}, this.#signal);
    return rows.map(({ storage, type, content, active, enabled, avail, total }) => ({
      name: storage,
      type,
      content: content.split(",").filter((kind) => kind !== ""),
      active: active === 1,
      enabled: enabled === 1,
      free: avail,
      total,
    }));
  }

  /** Those that the token may use or audit. */
  async bridges(): Promise<string[]> {
    const rows = await this.#api.get(
      `${nodePath(this.#node)}/network`,
      bridgesAnswer,
      { type: "any_bridge" },
      this.#signal,
    );
    return rows.map(({ iface }) => iface);
  }

  /** File names of the ISOs on a storage. */
  async isos(storage: string): Promise<string[]> {
    const path = contentPath(this.#node, storage);
    const volumes = await this.#api.get(path, contentAnswer, { content: "iso" }, this.#signal);
    return volumes.flatMap(({ volid }) => /:iso\/(.+)$/.exec(volid)?.[1] ?? []);
  }

  /** The lowest VM number that is free. */
  async nextVmid(): Promise<number> {
    return await this.#api.get("/cluster/nextid", nextIdAnswer, {}, this.#signal);
  }

  /**
   * When a token ends, in milliseconds since the epoch; undefined for never.
   * @param id "USER@REALM!NAME"
   * @throws {ApiFailure} 403 where a token may not look at itself
   */
  async tokenEnd(id: string): Promise<number | undefined> {
    const [user = "", name = ""] = id.split("!");
    const path = `/access/users/${encodeURIComponent(user)}/token/${encodeURIComponent(name)}`;
    const { expire } = await this.#api.get(path, tokenAnswer, {}, this.#signal);
    return expire === 0 ? undefined : expire * 1000;
  }

  /** Milliseconds since the epoch, in whole seconds. @throws {ApiFailure} 403 without Sys.Audit on the node */
  async time(): Promise<number> {
    return (await this.#api.get(`${nodePath(this.#node)}/time`, timeAnswer, {}, this.#signal)).time * 1000;
  }

  /** Addresses of its name servers. @throws {ApiFailure} 403 without Sys.Audit on the node */
  async nameServers(): Promise<string[]> {
    const { dns1, dns2, dns3 } = await this.#api.get(
      `${nodePath(this.#node)}/dns`,
      dnsAnswer,
      {},
      this.#signal,
    );
    return [dns1, dns2, dns3].filter((server) => server !== undefined);
  }

  /** What its processors can do, in Linux's words. @throws {ApiFailure} 403 without Sys.Audit on the node */
  async cpuFlags(): Promise<string[]> {
    const { cpuinfo } = await this.#api.get(
      `${nodePath(this.#node)}/status`,
      hardwareAnswer,
      {},
      this.#signal,
    );
    return cpuinfo.flags.split(/\s+/).filter((flag) => flag !== "");
  }
}
