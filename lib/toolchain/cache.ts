import { existsSync, readFileSync } from "node:fs";
import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, join } from "node:path";
import * as v from "valibot";
import { run } from "../process.ts";
import { processIdentity } from "../process-identity.ts";
import type { Platform, Recipe, Tool, ToolName } from "./tool.ts";

/** What lies beside an installed program. */
const cardSchema = v.object({
  version: v.string(),
  source: v.picklist(["download", "build", "pip"]),
  file: v.string(),
});
type Card = v.InferOutput<typeof cardSchema>;

/** The user's cache of tools, shared by clones and processes; each tool stands in a folder of its own, complete or not at all. */
export class ToolCache {
  readonly dir: string;

  /** @param dir HOMELAB_CACHE, or homelab/ in the user's cache directory, when it is left out */
  constructor(dir: string = defaultCacheDir()) {
    this.dir = dir;
  }

  /** The lock that whoever gets a tool holds. */
  lockFile(name: ToolName): string {
    return join(this.dir, "locks", `${name}.lock`);
  }

  /** Where OpenTofu's filesystem mirror lies. */
  get mirrorDir(): string {
    return join(this.dir, "providers");
  }

  /** Where the folders with Packer's plugins lie. */
  get packerPluginsDir(): string {
    return join(this.dir, "packer-plugins");
  }

  /** The checksums of earlier downloads. */
  get checksumsFile(): string {
    return join(this.dir, "tools.lock.json");
  }

  /** A tool that was got before. */
  find(name: ToolName, recipe: Recipe, platform: Platform): Tool | undefined {
    const folder = this.#folder(name, recipe.version, platform);
    const card = readCard(join(folder, "tool.json"));
    if (card === undefined) return undefined;
    const path = join(folder, card.file);
    // A Python that was updated or removed takes the programs with it that were installed for it.
    const runs = card.source !== "pip" || existsSync(join(folder, "bin", "python3"));
    return existsSync(path) && runs ? { name, version: card.version, path, source: card.source } : undefined;
  }

  /**
   * Put a finished file into the cache. It appears there complete, by one rename.
   * @param work a folder from `workDir` that holds the file
   */
  async install(
    name: ToolName,
    recipe: Recipe,
    platform: Platform,
    made: { readonly work: string; readonly file: string; readonly source: "download" | "build" },
  ): Promise<Tool> {
    const staged = join(made.work, "install");
    await mkdir(staged);
    // The release may be newer than what can be built.
    const version =
      (made.source === "build" ? recipe.build?.version.replace(/^v/, "") : undefined) ?? recipe.version;
    const card: Card = { version, source: made.source, file: basename(made.file) };
    await rename(made.file, join(staged, card.file));
    await writeFile(join(staged, "tool.json"), `${JSON.stringify(card, undefined, 2)}\n`);
    const folder = this.#folder(name, recipe.version, platform);
    await rm(folder, { recursive: true, force: true });
    await mkdir(join(folder, ".."), { recursive: true });
    await rename(staged, folder);
    return { name, version: card.version, path: join(folder, card.file), source: made.source };
  }

  /**
   * Make a tool where it will stay, for what cannot be moved: it counts once its card is there.
   * @param make fills the folder and returns the program's path in it
   */
  async installInPlace(
    name: ToolName,
    { version }: Recipe,
    platform: Platform,
    make: (folder: string) => Promise<string>,
  ): Promise<Tool> {
    const folder = this.#folder(name, version, platform);
    await removeTree(folder);
    await mkdir(folder, { recursive: true });
    const file = await make(folder);
    const card: Card = { version, source: "pip", file };
    const draft = join(folder, "tool.json.new");
    await writeFile(draft, `${JSON.stringify(card, undefined, 2)}\n`);
    await rename(draft, join(folder, "tool.json"));
    return { name, version, path: join(folder, file), source: "pip" };
  }

  /**
   * An empty folder to work in, on the cache's own file system. Those of processes that were killed are removed.
   * @returns the folder and how to remove it
   */
  async workDir(name: ToolName): Promise<{ work: string; remove: () => Promise<void> }> {
    const all = join(this.dir, "work");
    await mkdir(all, { recursive: true });
    for (const entry of await readdir(all)) {
      const pid = Number(entry.split(".")[1]);
      if (processIdentity(pid) === undefined) await removeTree(join(all, entry));
    }
    const work = join(all, `${name}.${process.pid}.${Date.now()}`);
    await mkdir(work);
    return { work, remove: () => removeTree(work) };
  }

  #folder(name: ToolName, version: string, { os, arch }: Platform): string {
    return join(this.dir, "tools", name, `${version}-${os}-${arch}`);
  }
}

function defaultCacheDir(): string {
  const { HOMELAB_CACHE, XDG_CACHE_HOME } = process.env;
  return HOMELAB_CACHE || join(XDG_CACHE_HOME || join(homedir(), ".cache"), "homelab");
}

async function removeTree(folder: string): Promise<void> {
  try {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  } catch {
    // Whoever was killed while copying Go's module cache, which is read-only, has left folders that are.
    await run("chmod", ["-R", "u+w", folder]);
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

function readCard(file: string): Card | undefined {
  try {
    return v.parse(cardSchema, JSON.parse(readFileSync(file, "utf8")));
  } catch {
    // Missing or damaged: the tool is got again.
    return undefined;
  }
}
