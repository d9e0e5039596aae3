import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf, TaskError } from "../errors.ts";
import { tryLock } from "../lock.ts";
import { build, NEEDED_GO } from "./build.ts";
import { ToolCache } from "./cache.ts";
import { download } from "./download.ts";
import { findOnPath } from "./on-path.ts";
import { installPackages } from "./python.ts";
import { RECIPES } from "./recipes.ts";
import {
  currentPlatform,
  type Platform,
  type Recipe,
  type Tool,
  type ToolName,
  type ToolSource,
} from "./tool.ts";

export interface EnsureOptions {
  readonly signal?: AbortSignal;
  /** Told what is going on, line by line. */
  readonly onProgress?: (line: string) => void;
  /** The cache to use; the user's when it is left out. */
  readonly cache?: ToolCache;
  /** The CPU it is to run on; this machine's when it is left out. */
  readonly arch?: Platform["arch"];
  /** How the tool is got; the toolchain's own recipe when it is left out. */
  readonly recipe?: Recipe;
}

/** Tools found or got earlier in this process. */
const known = new Map<ToolName, Tool>();

/**
 * Find a tool without downloading or building anything: on PATH if its version fits, else in the cache.
 */
export async function locateTool(name: ToolName, options: EnsureOptions = {}): Promise<Tool | undefined> {
  const usual = options.cache === undefined && options.recipe === undefined && options.arch === undefined;
  const before = usual ? known.get(name) : undefined;
  if (before !== undefined) return before;
  const { cache = new ToolCache(), recipe = RECIPES[name] } = options;
  const tool =
    (allowed("path") ? await findOnPath(name, recipe, join(cache.dir, "versions.json")) : undefined) ??
    cache.find(name, recipe, platformFor(recipe, options));
  if (tool !== undefined && usual) known.set(name, tool);
  return tool;
}

/**
 * Find a tool, else download its official release, else build it. Two processes never do the work twice: the second
 * waits for the first. What is interrupted leaves nothing half-done.
 * @throws {TaskError} when it cannot be had in any way
 */
export async function ensureTool(name: ToolName, options: EnsureOptions = {}): Promise<Tool> {
  const found = await locateTool(name, options);
  if (found !== undefined) return found;
  const { cache = new ToolCache(), signal } = options;
  for (let told = false; ; ) {
    signal?.throwIfAborted();
    const lock = tryLock(cache.lockFile(name));
    if (lock.held) {
      try {
        // Whoever held the lock before us may have got it.
        return (await locateTool(name, options)) ?? (await get(name, cache, options));
      } finally {
        lock.release();
      }
    }
    if (!told) options.onProgress?.(`waiting for process ${lock.holder}, which is getting it`);
    told = true;
    await sleep(200, undefined, { ...(signal ? { signal } : {}) });
  }
}

async function get(name: ToolName, cache: ToolCache, options: EnsureOptions): Promise<Tool> {
  const { recipe = RECIPES[name], signal, onProgress } = options;
  const platform = platformFor(recipe, options);
  const { work, remove } = await cache.workDir(name);
  const reasons: string[] = [];
  try {
    const release = allowed("download") ? recipe.release(platform) : undefined;
    if (release !== undefined) {
      try {
        const file = await download(release, {
          work: await folderIn(work, "download"),
          checksumsFile: cache.checksumsFile,
          signal,
          onProgress,
        });
        return await cache.install(name, recipe, platform, { work, file, source: "download" });
      } catch (error) {
        signal?.throwIfAborted();
        reasons.push(`Download: ${messageOf(error)}`);
      }
    }
    const { python } = recipe;
    if (python !== undefined && allowed("pip")) {
      try {
        return await cache.installInPlace(name, recipe, platform, (folder) =>
          installPackages(python, { folder, signal, onProgress }),
        );
      } catch (error) {
        signal?.throwIfAborted();
        reasons.push(`Python package: ${messageOf(error)}`);
      }
    }
    if (recipe.build === undefined) {
      if (python === undefined) reasons.push("Build: it cannot be built, there is only the release");
    } else if (allowed("build")) {
      try {
        const file = await build(recipe.build, {
          work: await folderIn(work, "build"),
          program: programOf(name, recipe),
          platform,
          signal,
          onProgress,
        });
        return await cache.install(name, recipe, platform, { work, file, source: "build" });
      } catch (error) {
        signal?.throwIfAborted();
        reasons.push(`Build: ${messageOf(error)}`);
      }
    }
  } finally {
    await remove();
  }
  throw notToBeHad(name, recipe, platform, reasons);
}

function platformFor(recipe: Recipe, { arch }: EnsureOptions): Platform {
  const here = currentPlatform();
  return { os: recipe.os ?? here.os, arch: arch ?? here.arch };
}

/** Each way has a folder of its own: a failed download's file must not lie where the build puts its program. */
async function folderIn(work: string, name: string): Promise<string> {
  const folder = join(work, name);
  await mkdir(folder);
  return folder;
}

/** OpenTofu finds a provider by the name of its file. */
function programOf(name: ToolName, recipe: Recipe): string {
  return name === "provider-proxmox" ? `terraform-provider-proxmox_v${recipe.version}` : name;
}

/** HOMELAB_TOOLS limits where tools may come from: a comma-separated list of path, download, build, pip. */
function allowed(source: ToolSource): boolean {
  const limit = process.env.HOMELAB_TOOLS?.trim();
  return !limit || limit.split(",").some((word) => word.trim() === source);
}

function notToBeHad(
  name: ToolName,
  recipe: Recipe,
  { os, arch }: Platform,
  reasons: readonly string[],
): TaskError {
  const { onPath, version, build, python } = recipe;
  const reachable = "Or let this machine reach the release's host";
  const otherwise =
    build === undefined
      ? `${reachable}: it cannot be built`
      : `${reachable}, or install Go ${NEEDED_GO.major}.${NEEDED_GO.minor} so that it can be built`;
  return new TaskError({
    what: `${name} ${version} (${recipe.about}) is not to be had for ${os}/${arch}`,
    why: reasons.join("\n") || "Neither PATH, download, pip nor build is allowed to give it (HOMELAB_TOOLS)",
    todo: [
      ...(onPath ? [`Install it yourself: any ${onPath.program} ${onPath.fitting} on PATH is taken`] : []),
      python === undefined
        ? otherwise
        : "Or install Python 3 with its venv module (Debian: python3-venv) and let pip reach a package index",
      "$ npm run setup",
    ],
  });
}
