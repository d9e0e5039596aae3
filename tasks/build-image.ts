import type { SettingName } from "../lib/config/index.ts";
import { UsageError } from "../lib/errors.ts";
import { parseImageName } from "../lib/image-name.ts";
import type { ImageMetadata } from "../lib/proxmox/index.ts";
import { defineCommand, main } from "../lib/task/index.ts";
import { aloneWith } from "./image-build/alone.ts";
import { qemuSteps } from "./image-build/in-qemu.ts";
import { NODE_REQUIRES, NODE_USES, proxmoxSteps } from "./image-build/on-node.ts";
import { type Build, IMAGE_USES, type ImageSettings, recordOf } from "./image-build/packer.ts";
import { VIA_FLAG, WAY_USES, wayFrom } from "./image-upload/way.ts";
import { templateOf } from "./tf-init.ts";
import { upload } from "./upload-image.ts";

/** Settings of the node that a local image is uploaded to. */
const UPLOAD_USES = [...WAY_USES, "PM_STORAGE", "PM_BRIDGE"] as const satisfies readonly SettingName[];

const command = defineCommand({
  name: "build-image",
  summary:
    "Build the golden image: AlmaLinux 9 with k3s inside; on the node, or in a local QEMU and uploaded",
  flags: {
    builder: {
      type: "string",
      value: "NAME",
      about: "proxmox: on the node (default); qemu: on this machine, then uploaded",
    },
    via: VIA_FLAG,
    "no-upload": { type: "boolean", about: "with --builder qemu: leave the qcow2 here" },
    "on-error": { type: "string", value: "keep", about: "keep what is built so far when the build fails" },
  },
  uses: [...new Set([...IMAGE_USES, ...NODE_REQUIRES, ...NODE_USES, ...UPLOAD_USES, "TOOL_LOG"] as const)],
  async run(context) {
    const { settings, flags, root } = context;
    const name = templateOf(settings);
    demandPossible(name, settings, flags.builder, flags.onError);
    const build: Build = {
      root,
      name,
      settings,
      keepOnError: flags.onError === "keep",
      ...(flags.verbose ? { log: context.note } : {}),
    };
    const work = async (): Promise<void> => {
      if (flags.builder !== "qemu") {
        const node = await context.load(NODE_REQUIRES, NODE_USES);
        let metadata: ImageMetadata | undefined;
        await context.steps(
          proxmoxSteps(build, node, (made) => {
            metadata = made;
          }),
        );
        return context.result(name, { template: name, metadata });
      }
      // Before the build, which takes an hour, and not after it.
      const target = flags.noUpload ? undefined : await context.load([], ["PM_STORAGE", "PM_BRIDGE"]);
      const onto = target === undefined ? undefined : await wayFrom(flags.via, context.load);
      let file = "";
      await context.steps(
        qemuSteps(build, (made) => {
          file = made;
        }),
      );
      if (target === undefined || onto === undefined) context.result(file, { file });
      else {
        try {
          await upload(context, onto.way, {
            file,
            name,
            k3sVersion: settings.K3S_VERSION,
            storage: target.PM_STORAGE,
            bridge: target.PM_BRIDGE,
          });
        } finally {
          await onto.close();
        }
      }
      recordOf(build).end();
    };
    // Where nothing is done, nobody has to wait.
    await (flags.dryRun ? work() : aloneWith(build, work));
  },
});

/** @throws {UsageError} for a builder, or a combination, that does not exist */
function demandPossible(
  name: string,
  { ARCH, K3S_VERSION, BUILD_IP, BUILD_GATEWAY, BUILD_NAMESERVER }: ImageSettings,
  builder: string | undefined,
  onError: string | undefined,
): void {
  if (builder !== undefined && builder !== "proxmox" && builder !== "qemu") {
    throw new UsageError({
      what: `There is no builder ${builder}`,
      todo: ["Use --builder proxmox or --builder qemu"],
    });
  }
  if (onError !== undefined && onError !== "keep") {
    throw new UsageError({
      what: `--on-error=${onError} is not known`,
      todo: ["Use --on-error=keep, or leave it out"],
    });
  }
  if (ARCH === "arm64" && builder !== "qemu") {
    throw new UsageError({
      what: "An arm64 image cannot be built on the node",
      why: "Proxmox VE runs on x86-64, and lets only root@pam choose another architecture for a VM",
      todo: ["Build it on an arm64 machine, or slowly on any other: --builder qemu"],
    });
  }
  const { arch, kubernetes } = parseImageName(name);
  if (arch !== ARCH || kubernetes !== K3S_VERSION.split("+")[0]) {
    throw new UsageError({
      what: `${name} is not the name of what would be built`,
      why: `IMAGE_VERSION names ${arch} and ${kubernetes}; ARCH is ${ARCH}, K3S_VERSION is ${K3S_VERSION}`,
      todo: ["Leave IMAGE_VERSION out: the name follows from the other settings", "Or let all of them agree"],
    });
  }
  const missing = [
    ...(BUILD_GATEWAY === undefined ? ["BUILD_GATEWAY"] : []),
    ...(BUILD_NAMESERVER === undefined ? ["BUILD_NAMESERVER"] : []),
  ];
  if (BUILD_IP !== "dhcp" && missing.length > 0) {
    throw new UsageError({
      what: `${missing.join(" and ")} missing`,
      why: `BUILD_IP is ${BUILD_IP}, and without them the build VM reaches no packages`,
      todo: missing.map((setting) => `Set it in .env: ${setting}=10.23.45.1`),
    });
  }
}

await main(import.meta.url, command);
