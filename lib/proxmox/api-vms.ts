import { setTimeout as sleep } from "node:timers/promises";
import * as v from "valibot";
import type { RunOptions } from "../process.ts";
import { configAnswer, contentAnswer } from "./api/answers.ts";
import type { ProxmoxApi } from "./api/client.ts";
import { ApiFailure } from "./api/failures.ts";
import { contentPath, nodePath, vmPath, volumePath } from "./api/paths.ts";
import { removeVm } from "./changes.ts";
import { listVms } from "./inventory.ts";
import {
  cloudInitOptions,
  createOptions,
  type DestroyOptions,
  importOptions,
  type MadeVm,
  parseVmid,
  type TemplatePlan,
  type Vmid,
  VmidTakenError,
  type VmMaker,
} from "./vm-maker.ts";

const nextIdAnswer = v.pipe(v.union([v.string(), v.number()]), v.transform(parseVmid));

/** Makes VMs through the API, with no more rights than the token has. */
export class ApiVms implements VmMaker {
  readonly #api: ProxmoxApi;
  readonly #node: string;

  /** @param node where the VM is made */
  constructor(api: ProxmoxApi, node: string) {
    this.#api = api;
    this.#node = node;
  }

  async nextId({ signal }: RunOptions = {}): Promise<Vmid> {
    return await this.#api.get("/cluster/nextid", nextIdAnswer, {}, signal);
  }

  async list({ signal }: RunOptions = {}): Promise<MadeVm[]> {
    return (await listVms(this.#api, signal)).map(({ vmid, name }) => ({ vmid: parseVmid(vmid), name }));
  }

  async config(vmid: Vmid, { signal }: RunOptions = {}): Promise<Record<string, string>> {
    const config = await this.#api.get(`${this.#path(vmid)}/config`, configAnswer, {}, signal);
    return config;
  }

  async create(plan: TemplatePlan, mark: string, options: RunOptions = {}): Promise<void> {
    try {
      const { vmid } = plan;
      await this.#run("", { ...createOptions(plan), vmid: String(vmid), description: mark }, options);
    } catch (error) {
      if (error instanceof ApiFailure && /already exists/.test(error.message))
        throw new VmidTakenError(plan.vmid);
      throw error;
    }
  }

  async importImage(plan: TemplatePlan, options: RunOptions = {}): Promise<void> {
    await this.#run(`/${plan.vmid}/config`, importOptions(plan), options);
  }

  async addCloudInit(plan: TemplatePlan, options: RunOptions = {}): Promise<void> {
    await this.#run(`/${plan.vmid}/config`, cloudInitOptions(plan), options);
  }

  async template(vmid: Vmid, options: RunOptions = {}): Promise<void> {
    await this.#run(`/${vmid}/template`, {}, options);
  }

  async describe(vmid: Vmid, notes: string, { signal }: RunOptions = {}): Promise<void> {
    await this.#api.change("PUT", `${this.#path(vmid)}/config`, { description: notes }, signal);
  }

  async destroy(vmid: Vmid, { patienceMs = 300_000, signal }: DestroyOptions = {}): Promise<void> {
    for (const deadline = Date.now() + patienceMs; ; ) {
      try {
        await removeVm(this.#api, { node: this.#node, vmid }, signal);
        return;
      } catch (error) {
        const locked = error instanceof Error && /can't lock file|VM is locked/.test(error.message);
        if (!locked || Date.now() >= deadline) throw error;
        await sleep(Math.min(1000, patienceMs), undefined, signal ? { signal } : {});
      }
    }
  }

  async disks(vmid: Vmid, storage: string, { signal }: RunOptions = {}): Promise<string[]> {
    const query = { content: "images", vmid: String(vmid) };
    const volumes = await this.#api.get(contentPath(this.#node, storage), contentAnswer, query, signal);
    return volumes.map(({ volid }) => volid);
  }

  async free(disk: string, { signal }: RunOptions = {}): Promise<void> {
    await this.#api.runTask("DELETE", volumePath(this.#node, disk), {}, signal ? { signal } : {});
  }

  async #run(
    path: string,
    params: Readonly<Record<string, string>>,
    { signal, onLine }: RunOptions,
  ): Promise<void> {
    await this.#api.runTask("POST", `${nodePath(this.#node)}/qemu${path}`, params, {
      ...(signal ? { signal } : {}),
      ...(onLine ? { onLine: (line) => onLine(line, "stdout") } : {}),
    });
  }

  #path(vmid: Vmid): string {
    return vmPath({ node: this.#node, vmid });
  }
}
