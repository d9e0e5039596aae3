import * as v from "valibot";
import { messageOf, TaskError } from "../../errors.ts";
import { formatBytes } from "../../progress.ts";
import { number } from "../api/answers.ts";
import type { ProxmoxApi } from "../api/client.ts";
import { ApiFailure } from "../api/failures.ts";
import { contentPath, nodePath, volumePath } from "../api/paths.ts";
import { ApiVms } from "../api-vms.ts";
import type { Qcow2 } from "../qcow2.ts";
import { quoteWords } from "../quote.ts";
import { cloudInitOptions, createOptions, importOptions, type TemplatePlan } from "../vm-maker.ts";
import { manualSteps } from "./by-hand.ts";
import type { Content } from "./content.ts";
import type { NodeLock } from "./node-lock.ts";
import type { SendOptions, Sent } from "./transfer.ts";
import type { Deed, UploadWay } from "./way.ts";

const storagesAnswer = v.array(
  v.object({
    storage: v.string(),
    active: v.optional(number, 0),
    avail: v.optional(number, 0),
    content: v.string(),
  }),
);
type StorageRow = v.InferOutput<typeof storagesAnswer>[number];
const volumesAnswer = v.array(v.object({ volid: v.string(), size: number }));

/**
 * By the API, with no more than the token's rights: the image goes to a storage for images to import, and nobody needs
 * to be root on the node. A transfer that breaks off begins anew.
 * @see POST /nodes/{node}/storage/{storage}/upload with content=import
 */
export class ApiWay implements UploadWay {
  readonly target: string;
  readonly vms: ApiVms;
  readonly locks = false;
  readonly #api: ProxmoxApi;
  readonly #node: string;
  #storages: readonly StorageRow[] = [];
  #import: StorageRow | undefined;

  constructor(api: ProxmoxApi, node: string) {
    this.#api = api;
    this.#node = node;
    this.target = `the API of ${node}`;
    this.vms = new ApiVms(api, node);
  }

  preview(deed: Deed, plan: TemplatePlan): readonly string[] {
    const node = `/nodes/${this.#node}`;
    const call = (method: string, path: string, params: Readonly<Record<string, string>> = {}): string[] => [
      [
        method,
        `${node}${path}`,
        ...Object.entries(params).map(([name, value]) => `${name}=${quoteWords([value])}`),
      ].join(" "),
    ];
    switch (deed) {
      case "check":
        return [...call("GET", "/storage"), ...call("GET", "/qemu")];
      case "lock":
      case "compare":
        return [];
      case "send":
        return call("POST", "/storage/IMPORT/upload", {
          content: "import",
          "checksum-algorithm": "sha256",
          checksum: "SHA256",
        });
      case "create":
        return call("POST", "/qemu", { vmid: String(plan.vmid), ...createOptions(plan) });
      case "import":
        return call("POST", `/qemu/${plan.vmid}/config`, importOptions(plan));
      case "configure":
        return call("POST", `/qemu/${plan.vmid}/config`, cloudInitOptions(plan));
      case "template":
        return call("POST", `/qemu/${plan.vmid}/template`);
      case "remove":
        return [
          ...call("PUT", `/qemu/${plan.vmid}/config`, { description: plan.notes }),
          ...call("DELETE", `/storage/IMPORT/content/${plan.imagePath}`),
        ];
    }
  }

  async demandNode(signal: AbortSignal): Promise<void> {
    this.#storages = await this.#api.get(
      `${nodePath(this.#node)}/storage`,
      storagesAnswer,
      { enabled: true },
      signal,
    );
    const importing = this.#storages.filter(
      ({ active, content }) => active === 1 && content.split(",").includes("import"),
    );
    this.#import = importing.toSorted((a, b) => b.avail - a.avail)[0];
    if (this.#import !== undefined) return;
    throw new TaskError({
      what: `No storage of ${this.#node} takes images to import`,
      why: `None that the token may see has the content type "import": ${this.#storages.map(({ storage, content }) => `${storage} (${content})`).join(", ") || "it may see none"}`,
      todo: [
        "Add it to a directory storage (Proxmox VE 8.4 or newer), on the node:",
        "$ pvesm set local --content iso,vztmpl,backup,import",
        "The token needs Datastore.AllocateTemplate and Datastore.Audit there",
        "Or upload over SSH: --via ssh",
      ],
      left: ["Nothing was sent"],
    });
  }

  place(name: string, sha256: string): string {
    return `${this.#import?.storage ?? "IMPORT"}:import/${name}-${sha256.slice(0, 12)}.qcow2`;
  }

  async demandRoom(
    { storage, imagePath }: TemplatePlan,
    image: Qcow2,
    content: Content,
    signal: AbortSignal,
  ): Promise<void> {
    const target = this.#storages.find((each) => each.storage === storage);
    if (target === undefined) {
      throw new TaskError({
        what: `There is no storage ${storage} on the node, or the token may not see it`,
        why: `It sees ${this.#storages.map((each) => each.storage).join(", ")}`,
        todo: ["Set PM_STORAGE to one of them"],
      });
    }
    const arrived = await this.#isThere(imagePath, content, signal);
    const rooms = [
      { row: target, needed: image.virtualSize },
      ...(this.#import === undefined || arrived ? [] : [{ row: this.#import, needed: content.size }]),
    ];
    for (const { row, needed } of rooms) {
      if (row.avail >= needed) continue;
      throw new TaskError({
        what: `The storage ${row.storage} is too full`,
        why: `${formatBytes(needed)} are needed, ${formatBytes(row.avail)} are free`,
        todo: ["Free some space there, or choose another storage; what is there:", "$ pvesm status"],
      });
    }
  }

  async remains(name: string, signal: AbortSignal): Promise<boolean> {
    await this.demandNode(signal);
    const storage = this.#import?.storage ?? "";
    const volumes = await this.#images(storage, signal);
    return volumes.some(({ volid }) => volid.startsWith(`${storage}:import/${name}-`));
  }

  /** The API knows no locks: of two uploads, the VM with the lower number stays. */
  async lock(): Promise<NodeLock> {
    return { release: async () => {} };
  }

  async send(file: string, content: Content, place: string, options: SendOptions): Promise<Sent> {
    if (await this.#isThere(place, content, options.signal)) return { bytes: 0, resumedAt: content.size };
    const { storage, filename } = partsOf(place);
    const fields = { content: "import", "checksum-algorithm": "sha256", checksum: content.sha256 };
    const path = `${nodePath(this.#node)}/storage/${encodeURIComponent(storage)}/upload`;
    await this.#api.uploadFile(path, fields, { file, filename, size: content.size }, options);
    return { bytes: content.size, resumedAt: 0 };
  }

  /** The node has compared it itself, with the checksum that was sent along. */
  async compare(): Promise<void> {}

  async remainder(place: string, content: Content): Promise<string> {
    const { signal } = new AbortController();
    const there = await this.#isThere(place, content, signal).catch(() => undefined);
    if (there === false) return `Nothing of the image lies on the node (${place})`;
    return `${there ? "" : "Perhaps "}${place} lies on the node: running this again uses it (npm run leftovers removes it, or on the node: pvesm free ${place})`;
  }

  async remove(place: string, signal: AbortSignal): Promise<string | undefined> {
    try {
      await this.#api.runTask("DELETE", volumePath(this.#node, place), {}, { signal });
      return undefined;
    } catch (error) {
      if (!(error instanceof ApiFailure)) throw error;
      if (/does not exist|no such/i.test(error.message)) return undefined;
      return `${place} stays on the node: ${messageOf(error)}; on the node: pvesm free ${place}`;
    }
  }

  byHand(file: string, plan: TemplatePlan): readonly string[] {
    return manualSteps(file, plan, { host: this.#api.host, user: "root", port: 22 });
  }

  async #isThere(place: string, { size }: Content, signal: AbortSignal): Promise<boolean> {
    const volumes = await this.#images(partsOf(place).storage, signal);
    return volumes.some((volume) => volume.volid === place && volume.size === size);
  }

  /** The images to import on a storage. */
  async #images(storage: string, signal: AbortSignal): Promise<v.InferOutput<typeof volumesAnswer>> {
    const path = contentPath(this.#node, storage);
    return await this.#api.get(path, volumesAnswer, { content: "import" }, signal);
  }
}

/** "local:import/NAME.qcow2" */
function partsOf(volume: string): { storage: string; filename: string } {
  const [, storage = "", filename = ""] = /^([^:]+):import\/(.+)$/.exec(volume) ?? [];
  return { storage, filename };
}
