import type { SettingName, Settings } from "../../lib/config/index.ts";
import { TaskError } from "../../lib/errors.ts";
import { nextFreeName } from "../../lib/image-name.ts";
import { addressTowards, doubtsAbout } from "../../lib/packer/index.ts";
import {
  apiFrom,
  findTemplate,
  finishTemplate,
  type ImageMetadata,
  imageMetadata,
  isoVolume,
  listVms,
  type ProxmoxApi,
  removeVm,
  renderMetadata,
  renderNotes,
  trustedPem,
} from "../../lib/proxmox/index.ts";
import type { Step, StepControl } from "../../lib/task/index.ts";
import { type Build, type Builder, IMAGE_DIRECTORY, packerSteps } from "./packer.ts";

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
  return [
    {
      title: `Check that the name ${name} is free on the node`,
      run: async (control) => await demandName(api, name, control),
    },
    {
      title: "Check that the installer can reach this machine",
      skip: () => settings.KICKSTART_DELIVERY === "cd" && "the kickstart comes on a CD",
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
    ...packerSteps(build, builder),
    {
      title: "Write the metadata into the template's notes",
      async run({ signal, note }) {
        const template = await findTemplate(api, name, signal);
        if (template === undefined)
          throw new TaskError({
            what: `There is no template ${name} after the build`,
            todo: [
              "See in the node's task log what became of it, then build it again:",
              "$ npm run build-image",
            ],
          });
        const builtAt = new Date();
        const metadata = imageMetadata({
          name,
          k3sVersion: settings.K3S_VERSION,
          builtAt,
          vmid: template.vmid,
        });
        await finishTemplate(api, template, renderNotes(metadata), signal);
        await api.close();
        note(renderMetadata(metadata).trimEnd());
        done(metadata);
      },
    },
  ];
}

/** @throws {TaskError} when the name is taken; the VM that an interrupted build has left may be removed first */
async function demandName(
  api: ProxmoxApi,
  name: string,
  { signal, confirm }: Pick<StepControl, "signal" | "confirm">,
): Promise<void> {
  const vms = await listVms(api, signal);
  const taken = vms.find((vm) => vm.name === name);
  if (taken === undefined) return;
  const left = !taken.template && taken.tags.includes("homelab") && !taken.tags.includes("template");
  if (left) {
    const question = `VM ${taken.vmid} (${name}, ${taken.status}) was left by a build that did not end. Remove it with its disks?`;
    if (await confirm(question)) return await removeVm(api, taken, signal);
  }
  const next = nextFreeName(
    name,
    vms.map((vm) => vm.name),
  );
  throw new TaskError({
    what: `The name ${name} is taken on the node`,
    why: `${taken.template ? "The template" : "VM"} ${taken.vmid} has it`,
    todo: [`Build the next free release: IMAGE_RELEASE=v${next.split("-v").at(-1)}`],
    left: ["Nothing was built"],
  });
}
