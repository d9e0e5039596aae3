import { mkdirSync, writeFileSync } from "node:fs";
import type { IncomingMessage, Server } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { checkK3sRelease } from "../../../../lib/k3s/index.ts";
import { ApiVms } from "../../../../lib/proxmox/api-vms.ts";
import { type ApiAccess, isoVolume, ProxmoxApi } from "../../../../lib/proxmox/index.ts";
import { parseVmid } from "../../../../lib/proxmox/vm-maker.ts";
import { issueCertificate, makeAuthority } from "../../../../lib/sandbox/x509.ts";
import { each, type Sink } from "./sink.ts";

const TOKEN = { tokenId: "homelab@pve!tasks", tokenSecret: "00000000-0000-0000-0000-000000000000" };
const VMID = parseVmid(9000);
const UPID = "UPID:pve:00000001:00000001:00000001:qmcreate:9000:root@pam:";
const { signal } = new AbortController();

/** What a server got. */
interface Seen {
  readonly path: string;
  readonly authorization: string;
  readonly body: string;
}

/** A server with TLS on loopback that notes what it gets, and answers what the clients need. */
export class NotingServer {
  readonly #server: Server;
  readonly #caFile: string;
  readonly #file: string;
  #seen: Seen[] = [];

  private constructor(server: Server, caFile: string, file: string) {
    this.#server = server;
    this.#caFile = caFile;
    this.#file = file;
    server.on("request", async (request: IncomingMessage, response) => {
      const body = await bodyOf(request);
      const { url = "", headers } = request;
      if (!/\/tasks\//.test(url))
        this.#seen.push({ path: url, authorization: headers.authorization ?? "", body });
      response.end(JSON.stringify({ data: answerTo(url, request.method) }));
    });
  }

  static async start(dir: string): Promise<NotingServer> {
    const authority = await makeAuthority({ commonName: "noting" });
    const subject = { commonName: "127.0.0.1" };
    const { cert, key } = await issueCertificate(authority, { subject, usage: "server", ips: ["127.0.0.1"] });
    mkdirSync(dir, { recursive: true });
    const [caFile, file] = [join(dir, "ca.pem"), join(dir, "image")];
    writeFileSync(caFile, authority.cert);
    writeFileSync(file, "image");
    const server = createServer({ cert, key });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new NotingServer(server, caFile, file);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** As the node and the storage in paths of the API. */
  readonly asPath: Sink = async (values) =>
    await this.#one(values, async (api, value) => {
      await new ApiVms(api, value).config(VMID, { signal });
      await isoVolume(api, value, value, "x.iso", signal);
      const [config = "", content = ""] = this.#taken().map(({ path }) => path);
      const [, first] = /^\/api2\/json\/nodes\/([^/?#]*)\/qemu\/9000\/config$/.exec(config) ?? [];
      const [, second, third] =
        /^\/api2\/json\/nodes\/([^/?#]*)\/storage\/([^/?#]*)\/content\?content=iso$/.exec(content) ?? [];
      return same([first, second, third].map((segment) => decodeURIComponent(segment ?? "?")));
    });

  /** As fields of a form. */
  readonly asForm: Sink = async (values) =>
    await this.#one(values, async (api, value) => {
      const plan = { vmid: VMID, name: value, storage: value, bridge: value, imagePath: value, notes: value };
      await new ApiVms(api, "pve").create(plan, value, { signal });
      const fields = new URLSearchParams(this.#taken()[0]?.body);
      const [efidisk = "", net = ""] = [fields.get("efidisk0") ?? "", fields.get("net0") ?? ""];
      return same([
        fields.get("name") ?? "",
        fields.get("description") ?? "",
        efidisk.replace(":0,efitype=4m,pre-enrolled-keys=0", ""),
        net.replace("virtio,bridge=", ""),
      ]);
    });

  /** As the name of a file that is sent in a form. */
  readonly asFileName: Sink = async (values) =>
    await this.#one(values, async (api, value) => {
      const file = { file: this.#file, filename: value, size: 5 };
      await api.uploadFile("/nodes/pve/storage/local/upload", { content: "import" }, file, { signal });
      const [, name = "", content] =
        /\r\nContent-Disposition: form-data; name="filename"; filename="(.*)"\r\nContent-Type: application\/octet-stream\r\n\r\n(.*)\r\n--/.exec(
          this.#taken()[0]?.body ?? "",
        ) ?? [];
      return content === "image" ? name : `${name} with ${content}`;
    });

  /** As the token in the Authorization header. */
  asToken(part: "tokenId" | "tokenSecret"): Sink {
    return async (values) =>
      await each(
        values,
        async (value) => {
          const token = { ...TOKEN, [part]: value };
          // Each has a connection of its own: not to read all authorities for each is most of the time.
          const api = new ProxmoxApi({ ...this.#access, ...token, tls: { insecure: true } });
          try {
            await new ApiVms(api, "pve").config(VMID, { signal });
          } finally {
            await api.close();
          }
          const [seen] = this.#taken();
          return seen?.authorization === `PVEAPIToken=${token.tokenId}=${token.tokenSecret}`
            ? value
            : String(seen?.authorization);
        },
        1,
      );
  }

  /** As the version in the address of a k3s release; over plain HTTP, which is all that differs from the publisher's. */
  readonly asRelease: Sink = async (values) => {
    const { createServer: plain } = await import("node:http");
    let seen = "";
    const server = plain((request, response) => {
      seen = request.url ?? "";
      response.end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const releases = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      return await each(
        values,
        async (value) => {
          await checkK3sRelease(value, "amd64", { signal, releases });
          return decodeURIComponent(/^\/([^/?#]*)\/sha256sum-amd64\.txt$/.exec(seen)?.[1] ?? "?");
        },
        1,
      );
    } finally {
      server.closeAllConnections();
      server.close();
    }
  };

  get #access(): ApiAccess {
    const { port } = this.#server.address() as AddressInfo;
    return { url: new URL(`https://127.0.0.1:${port}/api2/json`), ...TOKEN, tls: { caFile: this.#caFile } };
  }

  async #one(
    values: readonly string[],
    send: (api: ProxmoxApi, value: string) => Promise<string>,
  ): Promise<string[]> {
    const api = new ProxmoxApi(this.#access);
    try {
      return await each(values, async (value) => await send(api, value), 1);
    } finally {
      await api.close();
    }
  }

  /** What came since it was last asked. */
  #taken(): Seen[] {
    const seen = this.#seen;
    this.#seen = [];
    return seen;
  }
}

function same(found: readonly string[]): string {
  return found.every((value) => value === found[0]) ? String(found[0]) : found.join(" | ");
}

function answerTo(url: string, method = "GET"): unknown {
  if (method !== "GET") return UPID;
  if (/\/tasks\/.*\/log/.test(url)) return [];
  if (/\/tasks\//.test(url)) return { status: "stopped", exitstatus: "OK" };
  return /\/config$/.test(url) ? {} : [];
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = "";
  for await (const chunk of request.setEncoding("utf8")) body += String(chunk);
  return body;
}
