import { createHash, randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { type SettingName, type Settings, specOf } from "../../lib/config/index.ts";
import { demandFilled } from "../../lib/demand-filled.ts";
import { TaskError } from "../../lib/errors.ts";
import type { Architecture } from "../../lib/image-name.ts";
import { type Iso, obtainIso, resolveIso } from "../../lib/iso/index.ts";
import { checkK3sRelease } from "../../lib/k3s/index.ts";
import { BuildRecord, buildPhases, type RunningBuild, startBuild } from "../../lib/packer/index.ts";
import { runMark } from "../../lib/run-mark.ts";
import { registerSecret } from "../../lib/secrets.ts";
import type { Step, StepControl } from "../../lib/task/index.ts";
import { trustBundle } from "../../lib/trust.ts";

/** Settings of the image itself. */
export const IMAGE_USES = [
  "ALMA_VERSION",
  "ARCH",
  "K3S_VERSION",
  "IMAGE_RELEASE",
  "IMAGE_VERSION",
  "ALMA_ISO_URL",
  "ALMA_ISO_CHECKSUM",
  "FIRMWARE",
  "IMAGE_AUTOMATIC_UPDATES",
  "IMAGE_OSCAP",
  "KICKSTART_DELIVERY",
  "BUILD_HTTP_ADDRESS",
  "BUILD_IP",
  "BUILD_GATEWAY",
  "BUILD_NAMESERVER",
] as const satisfies readonly SettingName[];
export type ImageSettings = Settings<never, (typeof IMAGE_USES)[number]>;

/** Where the image's Packer files lie in the repository. */
export const IMAGE_DIRECTORY = join("packer", "alma9-k3s-optimized");

/** The provisioners, in the order of common.pkr.hcl. */
export const IMAGE_STEPS = [
  { name: "os-update", title: "Update the system" },
  { name: "guest-agent", title: "Set up the guest agent" },
  { name: "k3s-install", title: "Install k3s" },
  { name: "hardening-oscap", title: "Harden the system" },
  { name: "cleanup", title: "Remove what identifies the machine" },
  { name: "verify", title: "Check the finished system (goss)" },
] as const;

export interface Build {
  /** The repository's folder. */
  readonly root: string;
  readonly name: string;
  readonly settings: ImageSettings;
  readonly keepOnError: boolean;
  /** Receives every line of Packer and the scripts. */
  readonly log?: (line: string) => void;
}

/** Where Packer and its scripts write about a build, and we that it was begun. */
export function logsOf({ root, name }: Pick<Build, "root" | "name">): string {
  return join(root, ".homelab", "builds", name);
}

/** What is written down of a build that has not come to its end. */
export function recordOf(build: Pick<Build, "root" | "name">): BuildRecord {
  return new BuildRecord(logsOf(build));
}

interface Tools {
  readonly packer: string;
  readonly pluginPath: string;
  readonly goss: string;
  readonly cacheDir: string;
}

/** What differs between the builders. */
export interface Builder {
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

/**
 * The steps that all builders have in common: ISO, Packer, provisioners.
 * @param before what is done once all is at hand that Packer needs, right before it starts
 */
export function packerSteps(build: Build, builder: Builder, before: readonly Step[] = []): Step[] {
  const { root, name, settings } = build;
  const logs = logsOf(build);
  const password = randomBytes(18).toString("base64url");
  registerSecret(password);
  let tools: Tools;
  let iso: Iso;
  let there: string | undefined;
  let file = "";
  let running: RunningBuild | undefined;

  const phases = buildPhases(IMAGE_STEPS, builder.lastPhase);
  return [
    {
      title: "Find Packer and what it needs",
      run: async (control) => {
        await demandFilled(root, { paths: ["packer/"], otherwise: "no image is built" });
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
    ...before,
    ...phases.map(
      (phase, index): Step => ({
        title: phase.title,
        ...(index === 0 ? { preview: () => [`packer build ${builder.directory}`] } : {}),
        async run(control) {
          if (running === undefined) {
            await mkdir(logs, { recursive: true, mode: 0o700 });
            const passwordFile = join(logs, "build-password");
            // Whoever wants to look into a build that failed has to get in.
            if (build.keepOnError) await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
            const trusted = await builder.trusted?.();
            const trustFile = join(logs, "trusted.pem");
            if (trusted !== undefined)
              await writeFile(trustFile, await trustBundle(trusted), { mode: 0o600 });
            const record = recordOf(build);
            record.begin(await inputsOf(build));
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
                  build_run: runMark().id,
                  goss_binary: tools.goss,
                  log_directory: logs,
                  verbose: build.log !== undefined,
                },
                keepOnError: build.keepOnError,
                partial: builder.partial,
                passwordFile,
                ...(trusted === undefined ? {} : { trustFile }),
                cacheDir: join(tools.cacheDir, "packer"),
                signal: control.signal,
                onStart: (pid) => record.packerRuns(pid),
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

/** Differs for each set of settings, files of Packer and scripts that an image is made from. */
export async function inputsOf({ root, name, settings }: Build): Promise<string> {
  const hash = createHash("sha256").update(JSON.stringify(imageVariables(settings, name)));
  const folder = join(root, "packer");
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    // What was built lies beside what it is built from.
    .filter((file) => /\.(hcl|sh|yaml)$/.test(file));
  for (const file of files.sort()) hash.update(`\0${relative(folder, file)}\0`).update(await readFile(file));
  return hash.digest("hex");
}

/** The same steps, skipped for a reason that shows only once the list runs. */
export function unless(reason: () => string | false, steps: readonly Step[]): Step[] {
  return steps.map((step) => ({ ...step, skip: async () => reason() || ((await step.skip?.()) ?? false) }));
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
  const { ensureTool, packerPlugins, ToolCache } = await import("../../lib/toolchain/index.ts");
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
