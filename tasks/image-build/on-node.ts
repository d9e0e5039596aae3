import type { SettingName, Settings } from "../../lib/config/index.ts";
import { TaskError } from "../../lib/errors.ts";
import { addressTowards, doubtsAbout, readManifest } from "../../lib/packer/index.ts";
import {
  apiFrom,
  findTemplate,
  finishTemplate,
  type ImageMetadata,
  imageMetadata,
  isoVolume,
  removeVm,
  renderMetadata,
  renderNotes,
  trustedPem,
} from "../../lib/proxmox/index.ts";
import type { Step } from "../../lib/task/index.ts";
import { type NameState, stateOfName } from "./name.ts";
import {
  type Build,
  type Builder,
  IMAGE_DIRECTORY,
  logsOf,
  packerSteps,
  recordOf,
  unless,
} from "./packer.ts";

/** Settings of the node that an image is built on. */
export const NODE_REQUIRES = [
  "PM_API_URL",
  "PM_API_TOKEN_ID",
  "PM_API_TOKEN_SECRET",
] as const satisfies readonly SettingName[];

export const NODE_USES = [
  "PM_TLS_CA",
  "PM_TLS_FINGERPRINT",
  "PM_TLS_INSECURE",
  "PM_API_TIMEOUT",
  "PM_NODE",
  "PM_STORAGE",
  "PM_ISO_STORAGE",
  "PM_BRIDGE",
] as const satisfies readonly SettingName[];
export type NodeSettings = Settings<(typeof NODE_REQUIRES)[number], (typeof NODE_USES)[number]>;

/** Build on the node: the image is a template there in the end. */
export function proxmoxSteps(
  build: Build,
  node: NodeSettings,
  done: (metadata: ImageMetadata) => void,
): Step[] {
  const { name, settings } = build;
  const api = apiFrom(node);
  const record = recordOf(build);
  let state: NameState = { kind: "free" };
  /** The number of the VM that may be removed: that is agreed to. */
  let agreed: number | undefined;
  const isBuilt = (): string | false =>
    (state.kind === "built" || state.kind === "done") && "an earlier run has built it";
  const builder: Builder = {
    directory: IMAGE_DIRECTORY,
    plugin: "proxmox",
    partial: `as VM ${name} on ${node.PM_NODE}; the next build offers to remove it`,
    lastPhase: "Turn the VM into a template",
    variables: (iso) => ({
      proxmox_url: node.PM_API_URL.href,
      proxmox_username: node.PM_API_TOKEN_ID,
      proxmox_token: node.PM_API_TOKEN_SECRET,
      proxmox_insecure: node.PM_TLS_INSECURE,
      proxmox_node: node.PM_NODE,
      proxmox_storage: node.PM_STORAGE,
      proxmox_iso_storage: node.PM_ISO_STORAGE,
      proxmox_bridge: node.PM_BRIDGE,
      proxmox_iso_file: /^[\w.-]+:iso\//.test(iso) ? iso : "",
    }),
    trusted: async () => await trustedPem(node),
    isoThere: async ({ fileName }, signal) =>
      await isoVolume(api, node.PM_NODE, node.PM_ISO_STORAGE, fileName, signal),
  };
  /** What is known of a build that an earlier run has begun: from Packer, else from the node, which knows when it began. */
  const earlier = async (vmid: number): Promise<{ k3sVersion?: string; builtAt?: Date }> => {
    if (state.kind !== "built") return {};
    const manifest = await readManifest(logsOf(build));
    const builtAt = manifest?.artifact === String(vmid) ? manifest.builtAt : undefined;
    const { k3sVersion, since } = state;
    const isOfThis = builtAt !== undefined && builtAt >= since;
    return { ...(k3sVersion === undefined ? {} : { k3sVersion }), builtAt: isOfThis ? builtAt : since };
  };
  return [
    {
      title: `Check that the name ${name} is free on the node`,
      async run({ signal, note, confirm }) {
        await record.untilPackerEnds(`the image ${name}`, { signal, say: note });
        state = await stateOfName(api, name, { record, own: await ownTemplate(build) }, signal);
        if (state.kind === "built")
          note(`Template ${state.vm.vmid} lacks its notes alone: its build was interrupted behind Packer`);
        if (state.kind === "done")
          note(`Template ${state.vm.vmid} is finished: its build was interrupted at its very end`);
        if (state.kind !== "left") return;
        if (!(await confirm(`Remove ${state.what}, with its disks?`))) throw refused(name, state.what);
        agreed = state.vm.vmid;
      },
    },
    {
      title: "Check that the installer can reach this machine",
      skip: () => isBuilt() || (settings.KICKSTART_DELIVERY === "cd" && "the kickstart comes on a CD"),
      async run({ note }) {
        const offered = settings.BUILD_HTTP_ADDRESS ?? (await addressTowards(node.PM_API_URL.hostname));
        if (offered === undefined)
          return note("This machine has no route to the node: set BUILD_HTTP_ADDRESS");
        const vmNetwork = settings.BUILD_IP === "dhcp" ? undefined : settings.BUILD_IP;
        const doubt = doubtsAbout(offered, vmNetwork);
        note(
          doubt === undefined
            ? `The installer fetches its kickstart from ${offered}`
            : `${doubt}. Set BUILD_HTTP_ADDRESS to an address it can reach, or KICKSTART_DELIVERY=cd`,
        );
      },
    },
    ...unless(
      isBuilt,
      packerSteps(build, builder, [
        {
          title: "Make sure that the name is still free",
          // All that a build needs is at hand now, and minutes may have passed.
          async run({ signal, note }) {
            const now = await stateOfName(api, name, { record }, signal);
            if (now.kind === "free") return;
            const { vmid } = now.vm;
            if (now.kind !== "left" || vmid !== agreed) throw refused(name, `VM ${vmid} (${name})`);
            await removeVm(api, now.vm, signal);
            note(`Removed ${now.what}`);
          },
        },
      ]),
    ),
    {
      title: "Write the metadata into the template's notes",
      async run({ signal, note, stays }) {
        const template = await findTemplate(api, name, signal);
        if (template === undefined)
          throw new TaskError({
            what: `There is no template ${name} after the build`,
            todo: [
              "See in the node's task log what became of it, then build it again:",
              "$ npm run build-image",
            ],
          });
        const { vmid } = template;
        stays(
          async () =>
            `Template ${vmid} (${name}) is made, and may lack its notes: the next build-image writes them, and builds nothing`,
        );
        let metadata: ImageMetadata;
        if (state.kind === "done") metadata = state.metadata;
        else {
          const { k3sVersion = settings.K3S_VERSION, builtAt = new Date() } = await earlier(vmid);
          metadata = imageMetadata({ name, k3sVersion, builtAt, vmid });
          await finishTemplate(api, template, renderNotes(metadata), signal);
        }
        await api.close();
        record.end();
        note(renderMetadata(metadata).trimEnd());
        done(metadata);
      },
    },
  ];
}

/** The number of the template that the last build has made whose task did not come to its end. */
async function ownTemplate(build: Build): Promise<number | undefined> {
  const begun = recordOf(build).read();
  const manifest = await readManifest(logsOf(build));
  if (begun === undefined || manifest === undefined) return undefined;
  // A manifest's time is in seconds.
  return manifest.builtAt.getTime() >= Date.parse(begun.run.since) - 1000
    ? Number(manifest.artifact)
    : undefined;
}

/** Somebody has the name, or it was not agreed to that it be made free. */
function refused(name: string, what: string): TaskError {
  return new TaskError({
    what: `The name ${name} is taken on the node`,
    why: `${what} has it`,
    todo: [
      "See what was left, and remove it:",
      "$ npm run leftovers",
      "Or run this again, and let it be removed",
    ],
    left: ["Nothing was built"],
  });
}
