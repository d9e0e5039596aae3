import { readFileSync } from "node:fs";
import { request } from "node:https";
import type { SandboxEndpoints } from "../../lib/sandbox/index.ts";

type Parameters = Readonly<Record<string, string | number>>;

/** The plainest client of a node's API, so that tests do not lean on the one they test. */
export class PveApi {
  readonly #endpoints: SandboxEndpoints;

  constructor(endpoints: SandboxEndpoints) {
    this.#endpoints = endpoints;
  }

  /** One call; resolves to `data`. Rejects with the status line and the body for anything but 2xx. */
  async call(
    method: "GET" | "POST" | "PUT" | "DELETE",
    path: string,
    parameters: Parameters = {},
  ): Promise<unknown> {
    const { apiUrl, caFile, tokenId, tokenSecret } = this.#endpoints;
    const form = new URLSearchParams();
    for (const [name, value] of Object.entries(parameters)) form.set(name, String(value));
    const { status, text } = await new Promise<{ status: string; text: string }>((resolve, reject) => {
      const call = request(
        `${apiUrl}${path}`,
        {
          method,
          ca: readFileSync(caFile),
          headers: {
            authorization: `PVEAPIToken=${tokenId}=${tokenSecret}`,
            ...(method === "GET" ? {} : { "content-type": "application/x-www-form-urlencoded" }),
          },
        },
        (answer) => {
          let body = "";
          answer.setEncoding("utf8").on("data", (chunk: string) => {
            body += chunk;
          });
          answer.on("end", () =>
            resolve({ status: `${answer.statusCode} ${answer.statusMessage}`, text: body }),
          );
        },
      );
      call.on("error", reject);
      call.end(method === "GET" ? undefined : form.toString());
    });
    if (!status.startsWith("2")) throw new Error(`${method} ${path}: ${status} ${text}`);
    return (JSON.parse(text) as { data: unknown }).data;
  }

  /** A call that starts a task; resolves when the task has ended well. */
  async task(method: "POST" | "PUT" | "DELETE", path: string, parameters: Parameters = {}): Promise<void> {
    const upid = String(await this.call(method, path, parameters));
    for (;;) {
      const status = (await this.call(
        "GET",
        `/nodes/${this.#endpoints.node}/tasks/${encodeURIComponent(upid)}/status`,
      )) as { status: string; exitstatus?: string };
      if (status.status === "stopped") {
        if (status.exitstatus !== "OK") throw new Error(`${method} ${path}: ${status.exitstatus}`);
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  get #qemu(): string {
    return `/nodes/${this.#endpoints.node}/qemu`;
  }

  async config(vmid: number): Promise<Record<string, string | number>> {
    return (await this.call("GET", `${this.#qemu}/${vmid}/config`)) as Record<string, string | number>;
  }

  async vms(): Promise<{ vmid: number; name: string; template?: number; status: string }[]> {
    return (await this.call("GET", this.#qemu)) as never;
  }

  /** Make a VM like those of upload-image: UEFI, one disk of a gigabyte, a cloud-init drive. */
  async createVm(vmid: number, name: string, more: Parameters = {}): Promise<void> {
    const { storage, bridge } = this.#endpoints;
    await this.task("POST", this.#qemu, {
      vmid,
      name,
      bios: "ovmf",
      machine: "q35",
      ostype: "l26",
      cores: 2,
      memory: 2048,
      cpu: "x86-64-v2-AES",
      scsihw: "virtio-scsi-single",
      efidisk0: `${storage}:1,efitype=4m,pre-enrolled-keys=0`,
      scsi0: `${storage}:1,format=qcow2,ssd=1,discard=on`,
      ide2: `${storage}:cloudinit`,
      net0: `virtio,bridge=${bridge}`,
      serial0: "socket",
      agent: "enabled=1",
      boot: "order=scsi0",
      ...more,
    });
  }

  async createTemplate(vmid: number, name: string, more: Parameters = {}): Promise<void> {
    await this.createVm(vmid, name, more);
    await this.task("POST", `${this.#qemu}/${vmid}/template`);
  }

  async destroy(vmid: number): Promise<void> {
    await this.task("DELETE", `${this.#qemu}/${vmid}`);
  }
}
