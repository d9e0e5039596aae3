import * as v from "valibot";
import { goesOn } from "../../run-mark.ts";
import { number } from "../api/answers.ts";
import { ApiFailure } from "../api/failures.ts";
import { contentPath, nodePath, volumePath } from "../api/paths.ts";
import { inventory, type VmDetails } from "../inventory.ts";
import type { Surroundings } from "./by-api.ts";
import { busyUpload, GONE, type Leftover } from "./leftover.ts";
import { imageOfFile } from "./sent-file.ts";
import { uploadOf } from "./vms.ts";

const storagesAnswer = v.array(v.object({ storage: v.string(), content: v.string() }));
const volumesAnswer = v.array(
  v.object({ volid: v.string(), size: v.optional(number), ctime: v.optional(number) }),
);
type Volume = v.InferOutput<typeof volumesAnswer>[number];

/** Nothing on an image tells of its run. Between its arrival and the VM that is made of it, little time passes. */
const FRESH_MS = 60 * 60_000;

/** Images that were sent by the API: their names are ours, an image's name and a part of its checksum. */
export async function imagesToImport(
  around: Surroundings,
  vms: readonly VmDetails[],
  signal: AbortSignal,
): Promise<Leftover[]> {
  const { api, node } = around;
  const storages = await api.get(`${nodePath(node)}/storage`, storagesAnswer, { enabled: true }, signal);
  const lists = await Promise.all(
    storages
      .filter(({ content }) => content.split(",").includes("import"))
      .map(async ({ storage }) => await sentTo(around, storage, signal)),
  );
  return await Promise.all(
    lists.flat().map(async (volume): Promise<Leftover> => {
      const { volid, size } = volume;
      return {
        kind: "image to import",
        name: volid,
        bytes: size,
        busy: await busyImage(around, volume, vms, signal),
        async remove(aborted) {
          const [storage = ""] = volid.split(":");
          const [there, vmsNow] = await Promise.all([
            sentTo(around, storage, aborted),
            inventory(api, aborted),
          ]);
          const now = there.find((each) => each.volid === volid);
          if (now === undefined) return GONE;
          if (now.size !== size || now.ctime !== volume.ctime)
            return "it was sent anew since it was looked at";
          const why = await busyImage(around, now, vmsNow, aborted);
          if (why !== undefined) return why;
          await api.runTask("DELETE", volumePath(node, volid), {}, { signal: aborted });
          return undefined;
        },
      };
    }),
  );
}

/** The images of ours on a storage. */
async function sentTo({ api, node }: Surroundings, storage: string, signal: AbortSignal): Promise<Volume[]> {
  // A storage that the token may not list holds nothing that it has put there.
  const volumes = await api
    .get(contentPath(node, storage), volumesAnswer, { content: "import" }, signal)
    .catch((error: unknown) => {
      if (error instanceof ApiFailure && error.status === 403) return [];
      throw error;
    });
  return volumes.filter(({ volid }) => imageOf(volid) !== undefined);
}

/** Why an image is not to be removed: an upload may be about to import it, or be at it. */
async function busyImage(
  around: Surroundings,
  { volid, ctime }: Volume,
  vms: readonly VmDetails[],
  signal: AbortSignal,
): Promise<string | undefined> {
  const name = imageOf(volid) ?? "";
  const arrived = ctime === undefined ? undefined : ctime * 1000;
  let itsRunEnded = false;
  for (const vm of vms.filter((each) => each.name === name)) {
    const run = uploadOf(vm);
    if (run === undefined) continue;
    const why = await busyUpload(name, run, around, signal);
    if (why !== undefined) return `VM ${vm.vmid} is being made of it: ${why}`;
    itsRunEnded ||= goesOn(run) === false && arrived !== undefined && Date.parse(run.since) <= arrived;
  }
  if (itsRunEnded || (arrived !== undefined && around.now() - arrived >= FRESH_MS)) return undefined;
  return "it came less than an hour ago: perhaps its upload is about to import it";
}

function imageOf(volid: string): string | undefined {
  return imageOfFile(volid.split(":import/")[1] ?? "");
}
