import { TaskError } from "../lib/errors.ts";
import {
  apiFrom,
  type CatalogueEntry,
  imageCatalogue,
  type ProxmoxApi,
  removeVm,
} from "../lib/proxmox/index.ts";
import { defineCommand, main, type Step } from "../lib/task/index.ts";

/** Read the catalogue; with `prune`, offer to remove images that are superseded and that nobody uses. */
export function imagesSteps(
  api: ProxmoxApi,
  prune: boolean,
  done: (images: readonly CatalogueEntry[], removed: readonly CatalogueEntry[]) => void,
): Step[] {
  let images: CatalogueEntry[] = [];
  let obsolete: CatalogueEntry[] = [];
  return [
    {
      title: "Read the templates and who was made from them",
      async run({ signal }) {
        images = await imageCatalogue(api, signal);
        obsolete = images.filter(
          ({ usedBy, supersededBy }) => usedBy.length === 0 && supersededBy !== undefined,
        );
        if (!prune) done(images, []);
      },
    },
    ...(prune
      ? [
          {
            title: "Remove superseded images that nobody uses",
            skip: () => {
              if (obsolete.length > 0) return false;
              done(images, []);
              return "there are none";
            },
            async run({ confirm, note, output, signal }) {
              for (const { name, vmid, node, supersededBy } of obsolete)
                note(`${name} (${vmid} on ${node}), superseded by ${supersededBy}`);
              if (!(await confirm(`Remove ${obsolete.length} of ${images.length} images?`)))
                return done(images, []);
              const removed: CatalogueEntry[] = [];
              for (const image of obsolete) {
                // Somebody may have made a VM of it while the question stood there.
                const now = (await imageCatalogue(api, signal)).find(({ vmid }) => vmid === image.vmid);
                if (now === undefined || now.name !== image.name || now.usedBy.length > 0) continue;
                output(image.name);
                await removeVm(api, image, signal).catch((error: unknown) => {
                  if (!(error instanceof TaskError)) throw error;
                  throw error.withLeft(removed.map(({ name }) => `${name} was removed`));
                });
                removed.push(image);
              }
              done(
                images.filter((image) => !removed.includes(image)),
                removed,
              );
            },
          } satisfies Step,
        ]
      : []),
  ];
}

/** The catalogue for people. */
export function catalogueLines(images: readonly CatalogueEntry[]): string[] {
  if (images.length === 0) return ["There are no golden images on the node; npm run build-image makes one"];
  return images.flatMap(({ name, vmid, node, metadata, usedBy, supersededBy }) => [
    `${name}  (${vmid} on ${node})`,
    metadata === undefined
      ? "  its notes have no metadata"
      : `  ${metadata.base_os}, k3s ${metadata.k3s_version}, built ${metadata.build_date.slice(0, 10)}${metadata.qcow2_size_gb === undefined ? "" : `, ${metadata.qcow2_size_gb} GB`}`,
    usedBy.length === 0
      ? `  no VM tells that it was made from it${supersededBy === undefined ? "" : `; superseded by ${supersededBy}`}`
      : `  used by ${usedBy.map((vm) => `${vm.name} (${vm.vmid})`).join(", ")}`,
  ]);
}

const command = defineCommand({
  name: "images",
  summary: "List the golden images on the node and the VMs that were made from them",
  flags: { prune: { type: "boolean", about: "offer to remove superseded images that no VM was made from" } },
  requires: ["PM_API_URL", "PM_API_TOKEN_ID", "PM_API_TOKEN_SECRET"],
  uses: ["PM_TLS_CA", "PM_TLS_FINGERPRINT", "PM_TLS_INSECURE", "PM_API_TIMEOUT"],
  async run(context) {
    const api = apiFrom(context.settings);
    let lines: string[] = [];
    let data: Record<string, unknown> = {};
    try {
      await context.steps(
        imagesSteps(api, context.flags.prune, (images, removed) => {
          lines = [...removed.map(({ name }) => `removed ${name}`), ...catalogueLines(images)];
          data = { images, removed };
        }),
      );
    } finally {
      await api.close();
    }
    context.result(lines.join("\n"), data);
  },
});

await main(import.meta.url, command);
