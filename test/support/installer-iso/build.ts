import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { buildPhases, startBuild } from "../../../lib/packer/index.ts";
import { ROOT } from "../../../lib/task/index.ts";
import { ensureTool, packerPlugins } from "../../../lib/toolchain/index.ts";
import { FILES } from "./debian.ts";

/** The provisioners, in the order of common.pkr.hcl. */
export const STEPS = ["os-update", "guest-agent", "k3s-install", "hardening-oscap", "cleanup", "verify"];

/** Packer, its plugin and goss from the toolchain; downloaded or built once a machine. */
export interface ImageTools {
  readonly packer: string;
  readonly pluginPath: string;
  readonly goss: string;
}

export async function imageTools(): Promise<ImageTools> {
  return {
    packer: (await ensureTool("packer")).path,
    pluginPath: (await packerPlugins(["qemu"])).dir,
    goss: (await ensureTool("goss")).path,
  };
}

export interface BuildRequest {
  readonly tools: ImageTools;
  readonly name: string;
  readonly k3sVersion: string;
  readonly iso: { readonly path: string; readonly sha256: string };
  /** Seconds until the installer's menu is there. */
  readonly bootWait: number;
  readonly k3sReleasesUrl: string;
  readonly password: string;
  /** A folder of its own. */
  readonly work: string;
  readonly signal: AbortSignal;
  readonly variables?: Readonly<Record<string, string>>;
}

/** What a build left. */
export interface Built {
  readonly qcow2: string;
  readonly output: string;
  readonly logs: string;
  /** Everything Packer and the scripts said. */
  readonly said: readonly string[];
  readonly serial: string;
  /** Milliseconds each part took, in order. */
  readonly times: Readonly<Record<string, number>>;
  /** Why it failed, if it did. */
  readonly error: unknown;
}

/** The real build with the real HCL, whose installer is ours. It ends as soon as the installer has given up. */
export async function buildImage(request: BuildRequest): Promise<Built> {
  const { tools, name, work, iso } = request;
  const logs = join(work, "logs");
  const output = join(work, "output");
  mkdirSync(logs, { recursive: true });
  const said: string[] = [];
  const stuck = new AbortController();
  const ended = new AbortController();
  const phases = buildPhases(
    STEPS.map((step) => ({ name: step, title: step })),
    "qcow2",
  );
  const started = performance.now();
  const { progress, ended: built } = startBuild(
    {
      program: tools.packer,
      pluginPath: tools.pluginPath,
      directory: join(ROOT, "packer", "alma9-k3s-optimized", "qemu"),
      variables: {
        image_version: name,
        k3s_version: request.k3sVersion,
        k3s_releases_url: request.k3sReleasesUrl,
        alma_iso_url: iso.path,
        alma_iso_checksum: `sha256:${iso.sha256}`,
        boot_wait: `${request.bootWait}s`,
        build_password: request.password,
        http_bind_address: "127.0.0.1",
        goss_binary: tools.goss,
        log_directory: logs,
        output_directory: output,
        ssh_timeout: "4m",
        disk_size: "2G",
        cores: 1,
        memory: 1024,
        accelerator: "tcg",
        efi_firmware_code: FILES.uefiCode,
        efi_firmware_vars: FILES.uefiVars,
        ...request.variables,
      },
      keepOnError: false,
      partial: "nowhere",
      cacheDir: join(work, "cache"),
      signal: AbortSignal.any([request.signal, stuck.signal]),
      log: (line) => said.push(line),
    },
    phases,
  );
  const serialFile = join(logs, "serial.log");
  const serial = (): string => (existsSync(serialFile) ? readFileSync(serialFile, "latin1") : "");
  const times: Record<string, number> = {};
  let before = started;
  for (const [index, { title }] of phases.entries()) {
    const note = (): void => {
      times[title] = Math.round(performance.now() - before);
      before = performance.now();
    };
    // Those behind a failed one never end, which nobody waits for here.
    progress.untilEndOf(index, () => {}).then(note, () => {});
  }
  void watch(() => serial().includes("FAILED"), stuck, ended.signal);
  const error = await built.then(
    () => undefined,
    (reason: unknown) => (stuck.signal.aborted ? new Error(lastWords(serial())) : reason),
  );
  ended.abort();
  return { qcow2: join(output, `${name}.qcow2`), output, logs, said, serial: serial(), times, error };
}

/** Anaconda that lacks something waits for an answer; nobody here should wait with it. */
async function watch(given: () => boolean, stuck: AbortController, ended: AbortSignal): Promise<void> {
  while (!ended.aborted) {
    if (given()) return stuck.abort();
    await sleep(1000, undefined, { signal: ended }).catch(() => {});
  }
}

function lastWords(serial: string): string {
  return /.*FAILED.*/.exec(serial)?.[0] ?? "";
}
