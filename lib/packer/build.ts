import { InterruptedError, TaskError } from "../errors.ts";
import { runGently } from "../gentle.ts";
import { childEnv } from "../process.ts";
import { privilegeAdvice } from "../proxmox/index.ts";
import { redact } from "../secrets.ts";
import { type PackerEvent, parsePackerLine } from "./events.ts";
import { KeptVm } from "./kept-vm.ts";
import { BuildProgress, type Phase } from "./phases.ts";

/** What Packer is to build, and with what. */
export interface PackerBuild {
  /** Path of the packer program. */
  readonly program: string;
  /** Folder that holds the installed plugins. */
  readonly pluginPath: string;
  /** Folder with the HCL. */
  readonly directory: string;
  /** Values by variable name, handed over as PKR_VAR_*; secrets are among them, so they are never arguments. */
  readonly variables: Readonly<Record<string, string | number | boolean>>;
  /** Keep what was built so far when it fails. */
  readonly keepOnError: boolean;
  /** Where a partial build lies then, as the end of a sentence: "in FOLDER". */
  readonly partial: string;
  /** Where the password of the build VM stands, for whoever looks into it. */
  readonly passwordFile?: string;
  /** Bundle of trusted authorities, for the node's API. */
  readonly trustFile?: string;
  /** Where ISOs and temporary files of Packer go. */
  readonly cacheDir: string;
  readonly signal: AbortSignal;
  /** Told Packer's process as it starts. */
  readonly onStart?: (pid: number) => void;
  /** Receives every line that Packer prints, secrets removed. */
  readonly log?: (line: string) => void;
}

const LAST_LINES = 20;

/** The environment of packer and its plugins: nothing inherited steers them. */
function packerEnv({ pluginPath, cacheDir, variables, trustFile }: PackerEnvironment): NodeJS.ProcessEnv {
  const env = childEnv({
    PACKER_PLUGIN_PATH: pluginPath,
    PACKER_CACHE_DIR: cacheDir,
    PACKER_NO_COLOR: "1",
    CHECKPOINT_DISABLE: "1",
    ...(trustFile === undefined ? {} : { SSL_CERT_FILE: trustFile }),
  });
  // The plugin takes what the HCL leaves open from here.
  for (const name of Object.keys(env)) if (name.startsWith("PROXMOX_")) delete env[name];
  for (const [name, value] of Object.entries(variables)) env[`PKR_VAR_${name}`] = String(value);
  return env;
}

type PackerEnvironment = Pick<PackerBuild, "pluginPath" | "cacheDir" | "variables" | "trustFile">;

/** A build that is under way. */
export interface RunningBuild {
  readonly progress: BuildProgress;
  /** Resolves to what was made, by key ("id", "string"), once Packer has ended. @throws {TaskError} when it failed */
  readonly ended: Promise<ReadonlyMap<string, string>>;
}

/** Start a build. Its failure is that of the phase in which it happens, told once Packer has cleaned up and ended. */
export function startBuild(build: PackerBuild, phases: readonly Phase[]): RunningBuild {
  const progress = new BuildProgress(phases);
  const ended = runBuild(build, progress);
  ended.then(
    () => progress.finish(),
    (error: unknown) => progress.fail(error),
  );
  return { progress, ended };
}

async function runBuild(build: PackerBuild, progress: BuildProgress): Promise<ReadonlyMap<string, string>> {
  const { program, directory, keepOnError, partial, signal, onStart, log } = build;
  const kept = new KeptVm();
  const artifacts = new Map<string, string>();
  const errors: string[] = [];
  const recent: string[] = [];
  const onLine = (line: string): void => {
    const event = parsePackerLine(line);
    if (event === undefined) return;
    if (event.kind === "artifact") artifacts.set(event.key, event.value);
    else {
      remember(event, { errors, recent, log });
      kept.hear(event.text);
    }
    progress.feed(event);
  };
  const args = ["build", "-machine-readable", `-on-error=${keepOnError ? "abort" : "cleanup"}`, "."];
  const { exitCode, stderr } = await runGently(program, args, {
    cwd: directory,
    env: packerEnv(build),
    signal,
    onLine,
    ...(onStart === undefined ? {} : { onStart }),
  });
  if (signal.aborted) throw new InterruptedError({ why: `during "${progress.current}"` });
  if (exitCode === 0) return artifacts;
  const why = redact([...recent, ...errors, stderr.trim()].filter((text) => text !== "").join("\n"));
  throw new TaskError({
    what: `The image was not built: "${progress.current}" failed`,
    why,
    todo: [
      ...privilegeAdvice(why),
      "See everything that Packer and the scripts said: run it again with --verbose",
      ...(keepOnError ? [] : ["Keep what is built so far and look into it: --on-error=keep"]),
    ],
    left: keepOnError
      ? [`The partial build is kept ${partial}`, ...kept.ways(build)]
      : ["Packer has removed the build VM and its files"],
  });
}

interface Memory {
  readonly errors: string[];
  readonly recent: string[];
  readonly log: ((line: string) => void) | undefined;
}

function remember(event: Exclude<PackerEvent, { kind: "artifact" }>, { errors, recent, log }: Memory): void {
  const text = redact(event.text);
  for (const line of text.split("\n")) log?.(line);
  // A build that is kept says so of every step, which hides why it failed.
  if (text.startsWith("aborted: skipping cleanup of step")) return;
  // Packer repeats its errors at the end, under a heading that says nothing.
  if (event.kind === "error") {
    const news = text.trim();
    if (news !== "" && !errors.includes(news) && !/^(==> )?Some builds didn't complete/.test(news))
      errors.push(news);
    return;
  }
  // What scripts print comes as either kind, by Packer's version.
  recent.push(...text.split("\n").filter((line) => line.trim() !== ""));
  recent.splice(0, Math.max(0, recent.length - LAST_LINES));
}
