import { failure, parameterError } from "../../calls.ts";
import { demandVolume, formattingLine } from "../../operations/index.ts";
import { allowed, demand } from "../../permissions.ts";
import { parseDiskSize } from "../../schema/index.ts";
import {
  type ContentType,
  createImage,
  inspectImage,
  type LocatedVolume,
  parseVolumeId,
  removeVolume,
  type Storage,
} from "../../world/index.ts";
import { answer, type CallContext, guardOf, type RouteTable, startTask } from "../route.ts";

const CONTENT = "/nodes/{node}/storage/{storage}/content";
/** Storages have one digest together: that of their configuration file. */
const STORAGE_DIGEST = "4a02cd6baca6602678869b1329c17ddc5116d03a";

/** Storages and the volumes on them. */
export const storageRoutes: RouteTable = {
  "GET /storage": (call) => {
    const type = call.params.text("type");
    const visible = call.world.storages
      .list()
      .filter((storage) => mayAuditStorage(call, storage.id) && (type ?? storage.type) === storage.type);
    return answer(visible.map(definition));
  },

  "GET /storage/{storage}": ({ world, params }) =>
    answer(definition(world.storages.get(params.required("storage")))),

  "GET /nodes/{node}/storage": async (call) => {
    const { world, params } = call;
    const content = params.text("content")?.split(/[,;\s]+/);
    const only = params.text("storage");
    const visible = world.storages
      .list()
      .filter(({ id }) => mayAuditStorage(call, id) && (only ?? id) === id)
      .filter((storage) => content?.some((type) => storage.content.some((own) => own === type)) ?? true);
    return answer(
      await Promise.all(
        visible.map(async (storage) => {
          const status = await statusOf(call, storage);
          const fraction = status.total === 0 ? 0 : status.used / status.total;
          return { ...status, storage: storage.id, used_fraction: fraction };
        }),
      ),
    );
  },

  "GET /nodes/{node}/storage/{storage}/status": async (call) => {
    const storage = call.world.storages.find(call.params.required("storage"));
    if (storage === undefined) throw parameterError({ storage: "No such storage." });
    return answer(await statusOf(call, storage));
  },

  [`GET ${CONTENT}`]: async ({ world, params }) => {
    const storage = world.storages.get(params.required("storage"));
    const content = params.text("content") as ContentType | undefined;
    const vmid = params.text("vmid");
    const volumes = await world.storages.content(storage, {
      ...(content === undefined ? {} : { content }),
      ...(vmid === undefined ? {} : { vmid: Number(vmid) }),
    });
    return answer(
      volumes.map(({ vmid: owner, parent, used, ...volume }) =>
        owner === undefined ? volume : { ...volume, vmid: owner, parent, used },
      ),
    );
  },

  [`POST ${CONTENT}`]: async ({ world, params, onLog }) => {
    const storage = world.storages.get(params.required("storage"));
    const vmid = Number(params.required("vmid"));
    const volume = world.storages.locate(`${storage.id}:${vmid}/${params.required("filename")}`);
    const size = params.required("size");
    // A size without a unit counts in KiB here.
    const bytes = parseDiskSize(/\d$/.test(size) ? `${size}K` : size) ?? 0;
    onLog(formattingLine(volume.path, volume.format, bytes));
    await createImage(volume, bytes);
    return answer(volume.volid);
  },

  [`GET ${CONTENT}/{volume}`]: async (call) => {
    const volume = volumeIn(call);
    const guard = guardOf(call);
    const path = `/storage/${volume.storage.id}`;
    if (volume.content === "images") demand(guard, path, ["Datastore.Audit"]);
    else demandVolume(guard, volume.storage.id);
    const described = await call.world.storages.describe(volume.volid);
    const image = await inspectImage(volume.hostPath);
    if (described === undefined || image === undefined) {
      throw failure(`volume_size_info on '${volume.volid}' failed - no format`);
    }
    return answer({
      path: volume.path,
      size: image.virtualSize,
      used: described.used,
      format: image.format,
    });
  },

  [`DELETE ${CONTENT}/{volume}`]: (call) => {
    const volume = volumeIn(call);
    demand(guardOf(call), `/storage/${volume.storage.id}`, ["Datastore.Allocate"]);
    const owner = volume.vmid === undefined ? "" : `${volume.vmid}@`;
    return startTask(call, {
      type: "imgdel",
      id: `${owner}${volume.storage.id}`,
      run: async (worker) => {
        const there = await inspectImage(volume.hostPath);
        if (there === undefined && volume.content === "images") {
          worker.log(`disk image '${volume.path}' does not exist`);
        }
        await removeVolume(volume);
        worker.log(`Removed volume '${volume.volid}'`);
      },
    });
  },
};

/** Whether the caller may see a storage. */
export function mayAuditStorage(call: CallContext, id: string): boolean {
  return allowed(guardOf(call), `/storage/${id}`, ["Datastore.Audit", "Datastore.AllocateSpace"], "any");
}

interface StorageStatus {
  readonly type: string;
  readonly content: string;
  readonly active: number;
  readonly enabled: number;
  readonly shared: number;
  readonly total: number;
  readonly used: number;
  readonly avail: number;
}

async function statusOf({ world }: CallContext, storage: Storage): Promise<StorageStatus> {
  const usage = await world.storages.usage(storage);
  return {
    type: storage.type,
    content: storage.content.join(","),
    active: world.storages.isActive(storage) ? 1 : 0,
    enabled: 1,
    shared: 0,
    ...usage,
  };
}

function definition({ id, type, path, content }: Storage): Record<string, string> {
  return { storage: id, type, path, content: content.join(","), digest: STORAGE_DIGEST };
}

/** The path may name the volume with or without its storage. */
function volumeIn({ world, params }: CallContext): LocatedVolume {
  const storage = params.required("storage");
  const name = params.required("volume");
  const id = parseVolumeId(name);
  if (id !== undefined && id.storage !== storage) {
    throw parameterError({ storage: `storage '${storage}' does not match volume '${name}'` });
  }
  return world.storages.locate(id === undefined ? `${storage}:${name}` : name);
}
