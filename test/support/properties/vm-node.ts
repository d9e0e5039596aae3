import { type Sandbox, startSandbox } from "../../../lib/sandbox/index.ts";
import { sandboxPlan, tokenSecret } from "../../../lib/sandbox/seed.ts";
import { openWorld } from "../../../lib/sandbox/world/index.ts";
import { PveApi } from "../pve.ts";
import type { VmOnNode } from "./vm-checks.ts";
import type { Places } from "./vm-inputs.ts";

/** Storages beside the one that a sandbox comes with, so that no VM can be right by accident. */
const MORE_STORAGES = ["fast", "tank-2"];
const TEMPLATES = 5;

/** An embedded node with several storages and templates, all of which a generated VM may name. */
export class PropertyNode {
  readonly sandbox: Sandbox;
  readonly templates: ReadonlyMap<string, number>;
  readonly #api: PveApi;

  private constructor(sandbox: Sandbox, api: PveApi, templates: ReadonlyMap<string, number>) {
    this.sandbox = sandbox;
    this.#api = api;
    this.templates = templates;
  }

  /** @param dir belongs to the sandbox alone */
  static async start(dir: string): Promise<PropertyNode> {
    makeWorld(dir);
    const sandbox = await startSandbox({ dir });
    const api = new PveApi(sandbox.endpoints);
    const templates = new Map(
      Array.from({ length: TEMPLATES }, (_, at) => [`alma9-k3-node-amd64-v1.35.${at}-v1`, 9000 + at]),
    );
    await Promise.all([...templates].map(async ([name, vmid]) => await api.createTemplate(vmid, name)));
    return new PropertyNode(sandbox, api, templates);
  }

  get places(): Places {
    const { node, storage } = this.sandbox.endpoints;
    return { node, storages: [storage, ...MORE_STORAGES], templates: [...this.templates.keys()] };
  }

  /** Every VM by name, templates left out, as the API shows it. */
  async vms(): Promise<ReadonlyMap<string, readonly VmOnNode[]>> {
    const sources = await this.#cloneSources();
    const found = new Map<string, VmOnNode[]>();
    const vms = (await this.#api.vms()).filter(({ template }) => template !== 1);
    const all = await Promise.all(
      vms.map(async ({ vmid, name }) => {
        const config = Object.entries(await this.#api.config(vmid)).map(([key, value]) => [
          key,
          String(value),
        ]);
        return { name, vm: { vmid, config: Object.fromEntries(config), clonedFrom: sources.get(vmid) } };
      }),
    );
    for (const { name, vm } of all) found.set(name, [...(found.get(name) ?? []), vm]);
    return found;
  }

  /** Which VM each clone was made from: no VM's configuration says so, the log of the task that made it does. */
  async #cloneSources(): Promise<ReadonlyMap<number, number>> {
    const path = `/nodes/${this.sandbox.endpoints.node}/tasks`;
    const tasks = (await this.#api.call("GET", `${path}?typefilter=qmclone&limit=1000`)) as {
      upid: string;
    }[];
    const logs = await Promise.all(
      tasks.map(
        async ({ upid }) =>
          (await this.#api.call("GET", `${path}/${encodeURIComponent(upid)}/log?limit=1`)) as { t: string }[],
      ),
    );
    return new Map(
      logs.flat().map(({ t }): [number, number] => {
        const [, source, made] = /^creating a clone of VM (\d+) with ID (\d+)$/.exec(t) ?? [];
        return [Number(made), Number(source)];
      }),
    );
  }
}

/** What a sandbox comes with, and more storages and bridges that its token may use as it may use the first ones. */
function makeWorld(dir: string): void {
  const plan = sandboxPlan(tokenSecret(dir));
  const [first] = plan.storages.filter(({ id }) => id === "vmdata");
  if (first === undefined) throw new Error("a sandbox has a storage vmdata");
  const grants = plan.access.acl.filter(({ path }) => path === `/storage/${first.id}`);
  const bridges = plan.access.acl.filter(({ path }) => path.startsWith("/sdn/zones/localnetwork/"));
  if (bridges.length === 0) throw new Error("a sandbox's token may use a bridge");
  openWorld(dir, {
    ...plan,
    storages: [...plan.storages, ...MORE_STORAGES.map((id) => ({ ...first, id, path: `/var/lib/${id}` }))],
    access: {
      ...plan.access,
      acl: [
        ...plan.access.acl,
        ...bridges.map((grant) => ({ ...grant, path: "/sdn/zones/localnetwork" })),
        ...MORE_STORAGES.flatMap((id) => grants.map((grant) => ({ ...grant, path: `/storage/${id}` }))),
      ],
    },
  });
}
