import { randomBytes } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { loadSettings, type SettingName, type Settings, specOf } from "../lib/config/index.ts";
import { TaskError, UsageError } from "../lib/errors.ts";
import { type Architecture, nextFreeName, parseImageName } from "../lib/image-name.ts";
import { type Iso, obtainIso, resolveIso } from "../lib/iso/index.ts";
import { checkK3sRelease } from "../lib/k3s/index.ts";
import {
  addressTowards,
  buildPhases,
  doubtsAbout,
  findQemu,
  type RunningBuild,
  startBuild,
} from "../lib/packer/index.ts";
import {
  apiFrom,
  findTemplate,
  type ImageMetadata,
  imageMetadata,
  isoVolume,
  listVms,
  type ProxmoxApi,
  removeVm,
  renderMetadata,
  renderNotes,
  shellFrom,
  trustedPem,
  writeNotes,
} from "../lib/proxmox/index.ts";
import { registerSecret } from "../lib/secrets.ts";
import { defineCommand, main, type Step, type StepControl } from "../lib/task/index.ts";
import { trustBundle } from "../lib/trust.ts";
import { templateOf } from "./tf-init.ts";
import { uploadSteps } from "./upload-image.ts";

/** Settings of the image itself. */
const IMAGE_USES = [
  "ALMA_VERSION",
  "ARCH",
  "K3S_VERSION",
  "IMAGE_RELEASE",
  "IMAGE_VERSION",
  "ALMA_ISO_URL",
  "ALMA_ISO_CHECKSUM",
  "FIRMWARE",
  "KICKSTART_DELIVERY",
  "BUILD_HTTP_ADDRESS",
  "BUILD_IP",
  "BUILD_GATEWAY",
  "BUILD_NAMESERVER",
] as const satisfies readonly SettingName[];
type ImageSettings = Settings<never, (typeof IMAGE_USES)[number]>;

/** Settings of the node that an image is built on. */
const NODE_REQUIRES = [
  "PM_API_URL",
  "PM_API_TOKEN_ID",
  "PM_API_TOKEN_SECRET",
] as const satisfies readonly SettingName[];
const NODE_USES = [
  "PM_TLS_CA",
  "PM_TLS_FINGERPRINT",
  "PM_TLS_INSECURE",
  "PM_NODE",
  "PM_STORAGE",
  "PM_ISO_STORAGE",
  "PM_BRIDGE",
] as const satisfies readonly SettingName[];
type NodeSettings = Settings<(typeof NODE_REQUIRES)[number], (typeof NODE_USES)[number]>;

/** Settings of the node that a local image is uploaded to. */
const UPLOAD_USES = [
  "PM_SSH_HOST",
  "PM_API_URL",
  "PM_SSH_USER",
  "PM_SSH_PORT",
  "PM_SSH_CONFIG",
  "PM_STORAGE",
  "PM_BRIDGE",
] as const satisfies readonly SettingName[];

/** Where the image's Packer files lie in the repository. */
const IMAGE_DIRECTORY = join("packer", "alma9-k3s-optimized");

/** The provisioners, in the order of common.pkr.hcl. */
const SCRIPTS = [
  { name: "os-update", title: "Update the system" },
  { name: "guest-agent", title: "Set up the guest agent" },
  { name: "k3s-install", title: "Install k3s" },
  { name: "hardening-oscap", title: "Harden the system" },
  { name: "cleanup", title: "Remove what identifies the machine" },
  { name: "verify", title: "Check the finished system (goss)" },
] as const;

interface Build {
  readonly root: string;
  readonly name: string;
  readonly settings: ImageSettings;
  readonly keepOnError: boolean;
  /** Receives every line of Packer and the scripts. */
  readonly log?: (line: string) => void;
}

interface Tools {
  readonly packer: string;
  readonly pluginPath: string;
  readonly goss: string;
  readonly cacheDir: string;
}

/** What differs between the builders. */
interface Builder {
  readonly directory: string;
  readonly plugin: "qemu" | "proxmox";
  /** Where a partial build lies that is kept, as the end of a sentence. */
  readonly partial: string;
  /** What Packer does at the end. */
  readonly lastPhase: string;
  variables(iso: string): Readonly<Record<string, string | number | boolean>>;
  /** PEM to trust besides the system's authorities. */
  trusted?(): Promise<string | undefined>;
  /** The ISO where the builder has it already, in place of a file on this machine. */
  isoThere?(iso: Iso, signal: AbortSignal): Promise<string | undefined>;
}

/** The steps that all builders have in common: ISO, Packer, provisioners. */
function packerSteps(build: Build, builder: Builder): Step[] {
  const { root, name, settings } = build;
  const logs = join(root, ".homelab", "builds", name);
  const password = randomBytes(18).toString("base64url");
  registerSecret(password);
  let tools: Tools;
  let iso: Iso;
  let there: string | undefined;
  let file = "";
  let running: RunningBuild | undefined;

  const phases = buildPhases(SCRIPTS, builder.lastPhase);
  return [
    {
      title: "Find Packer and what it needs",
      run: async (control) => {
        tools = await findTools(builder.plugin, settings.ARCH, control);
      },
    },
    {
      title: `Check that k3s ${settings.K3S_VERSION} was released`,
      async run({ signal, note }) {
        const found = await checkK3sRelease(settings.K3S_VERSION, settings.ARCH, { signal });
        if (found !== "released") note(`It could not be found out (${found.unknown}); the build will tell`);
      },
    },
    {
      title: "Find the AlmaLinux ISO",
      async run({ signal, output }) {
        iso = await resolveIso(
          {
            major: settings.ALMA_VERSION,
            arch: settings.ARCH,
            url: settings.ALMA_ISO_URL,
            checksum: settings.ALMA_ISO_CHECKSUM,
          },
          { signal, output },
        );
        there = await builder.isoThere?.(iso, signal);
      },
    },
    {
      title: "Have the ISO, verified",
      skip: () => there !== undefined && `${there} is on the node`,
      async run({ signal, output }) {
        file = await obtainIso(iso, join(tools.cacheDir, "isos"), { signal, output });
      },
    },
    ...phases.map(
      (phase, index): Step => ({
        title: phase.title,
        ...(index === 0 ? { preview: () => [`packer build ${builder.directory}`] } : {}),
        async run(control) {
          if (running === undefined) {
            await mkdir(logs, { recursive: true, mode: 0o700 });
            const trusted = await builder.trusted?.();
            const trustFile = join(logs, "trusted.pem");
            if (trusted !== undefined)
              await writeFile(trustFile, await trustBundle(trusted), { mode: 0o600 });
            running = startBuild(
              {
                program: tools.packer,
                pluginPath: tools.pluginPath,
                directory: join(root, builder.directory),
                variables: {
                  ...imageVariables(settings, name),
                  ...builder.variables(there ?? file),
                  alma_iso_url: there === undefined ? file : iso.source,
                  alma_iso_checksum: `sha256:${iso.sha256}`,
                  build_password: password,
                  goss_binary: tools.goss,
                  log_directory: logs,
                  verbose: build.log !== undefined,
                },
                keepOnError: build.keepOnError,
                partial: builder.partial,
                ...(trusted === undefined ? {} : { trustFile }),
                cacheDir: join(tools.cacheDir, "packer"),
                signal: control.signal,
                ...(build.log === undefined ? {} : { log: build.log }),
              },
              phases,
            );
          }
          try {
            await running.progress.untilEndOf(index, control.output);
          } catch (error) {
            throw await withFailedLog(error, join(logs, "failed-step.log"));
          }
        },
      }),
    ),
  ];
}

/** What the settings come to as variables of Packer. */
function imageVariables(settings: ImageSettings, name: string): Record<string, string> {
  const variables: Record<string, string> = {};
  for (const [setting, value] of Object.entries(settings) as [SettingName, unknown][]) {
    const { pkrVar } = specOf(setting);
    if (pkrVar !== undefined && value !== undefined) variables[pkrVar] = String(value);
  }
  return { ...variables, image_version: name };
}

async function findTools(
  plugin: "qemu" | "proxmox",
  arch: Architecture,
  { signal, output }: Pick<StepControl, "signal" | "output">,
): Promise<Tools> {
  const { ensureTool, packerPlugins, ToolCache } = await import("../lib/toolchain/index.ts");
  const options = { signal, onProgress: output };
  return {
    packer: (await ensureTool("packer", options)).path,
    pluginPath: (await packerPlugins([plugin], options)).dir,
    // It runs in the guest, whatever this machine is.
    goss: (await ensureTool("goss", { ...options, arch })).path,
    cacheDir: new ToolCache().dir,
  };
}

/** The log of the step that failed, which Packer has fetched from the guest before it went away. */
async function withFailedLog(error: unknown, path: string): Promise<unknown> {
  const text = await readFile(path, "utf8").catch(() => "");
  if (!(error instanceof TaskError) || text.trim() === "") return error;
  return error.withLeft([`The whole log of that step is in ${path}`]);
}

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
          throw new TaskError({ what: `There is no template ${name} after the build` });
        const builtAt = new Date();
        const metadata = imageMetadata({
          name,
          k3sVersion: settings.K3S_VERSION,
          builtAt,
          vmid: template.vmid,
        });
        await writeNotes(api, template, renderNotes(metadata), signal);
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

/** Build in a local QEMU: ends in a qcow2. */
export function qemuSteps(build: Build, done: (file: string) => void): Step[] {
  const { root, name, settings } = build;
  const output = join(root, IMAGE_DIRECTORY, "qemu", "output", name);
  const file = join(output, `${name}.qcow2`);
  return [
    {
      title: "Make room for the image",
      async run({ confirm }) {
        const { existsSync } = await import("node:fs");
        if (!existsSync(output)) return;
        if (!(await confirm(`${relative(root, output)} is there from an earlier build. Remove it?`))) {
          throw new TaskError({
            what: `${output} is there already`,
            todo: [`Use it: npm run upload-image -- ${file} ${name}`, "Or remove it"],
            left: ["Nothing was built"],
          });
        }
        await rm(output, { recursive: true });
      },
    },
    ...packerSteps(build, {
      directory: join(IMAGE_DIRECTORY, "qemu"),
      plugin: "qemu",
      partial: `in ${relative(root, output)}; the next build offers to remove it`,
      lastPhase: "Write the qcow2",
      variables: () => {
        const { binary, accelerator, machine, cpu, efi } = findQemu(settings.ARCH, settings.FIRMWARE);
        return {
          output_directory: output,
          // The guest reaches it through QEMU's own network; nobody else is to read the build password.
          http_bind_address: "127.0.0.1",
          accelerator,
          qemu_binary: binary,
          machine_type: machine,
          cpu_model: cpu,
          ...(efi === undefined ? {} : { efi_firmware_code: efi.code, efi_firmware_vars: efi.vars }),
        };
      },
    }),
    {
      title: "Check the qcow2",
      async run({ note }) {
        note(relative(root, file));
        done(file);
      },
    },
  ];
}

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
    "no-upload": { type: "boolean", about: "with --builder qemu: leave the qcow2 here" },
    "on-error": { type: "string", value: "keep", about: "keep what is built so far when the build fails" },
  },
  uses: [...new Set([...IMAGE_USES, ...NODE_REQUIRES, ...NODE_USES, ...UPLOAD_USES])],
  async run(context) {
    const { settings, flags, root, sources } = context;
    const name = templateOf(settings);
    demandPossible(name, settings, flags.builder, flags.onError);
    const build: Build = {
      root,
      name,
      settings,
      keepOnError: flags.onError === "keep",
      ...(flags.verbose ? { log: context.note } : {}),
    };
    if (flags.builder !== "qemu") {
      const node = await loadSettings(NODE_REQUIRES, NODE_USES, sources);
      let metadata: ImageMetadata | undefined;
      await context.steps(
        proxmoxSteps(build, node, (made) => {
          metadata = made;
        }),
      );
      return context.result(name, { template: name, metadata });
    }
    // Before the build, which takes an hour, and not after it.
    const target = flags.noUpload ? undefined : await loadSettings([], UPLOAD_USES, sources);
    const shell = target === undefined ? undefined : shellFrom(target);
    shell?.demandHost();
    let file = "";
    await context.steps(
      qemuSteps(build, (made) => {
        file = made;
      }),
    );
    if (target === undefined || shell === undefined) return context.result(file, { file });
    let metadata: ImageMetadata | undefined;
    try {
      await context.steps(
        uploadSteps(
          {
            file,
            name,
            k3sVersion: settings.K3S_VERSION,
            storage: target.PM_STORAGE,
            bridge: target.PM_BRIDGE,
          },
          {
            shell,
            done: (made) => {
              metadata = made;
            },
          },
        ),
      );
    } finally {
      await shell.close();
    }
    context.result(name, { template: name, metadata });
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
