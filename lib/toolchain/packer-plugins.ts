import { createHash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { access, copyFile, link, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import * as v from "valibot";
import { run } from "../process.ts";
import { ToolCache } from "./cache.ts";
import { type EnsureOptions, ensureTool } from "./ensure.ts";
import { currentPlatform, type Tool } from "./tool.ts";

export type PackerPlugin = "qemu" | "proxmox";

/** Packer's view of the plugins we got. */
export interface PackerPlugins {
  /** Hand it over as PACKER_PLUGIN_PATH. */
  readonly dir: string;
  readonly tools: readonly Tool[];
}

const descriptionSchema = v.object({ version: v.string(), api_version: v.string() });

/**
 * Make Packer find plugins without its own `packer init`: a folder as `packer plugins install --path` lays it out, which
 * holds these plugins and no other version of them.
 * @param names the plugins, without "packer-plugin-"
 * @throws {TaskError} when one is not to be had
 */
export async function packerPlugins(
  names: readonly PackerPlugin[],
  options: EnsureOptions = {},
): Promise<PackerPlugins> {
  const cache = options.cache ?? new ToolCache();
  const tools: Tool[] = [];
  for (const name of names) tools.push(await ensureTool(`packer-plugin-${name}`, options));
  const set = tools.map(({ name, version }) => `${name.replace("packer-plugin-", "")}-${version}`).join("_");
  const dir = join(cache.packerPluginsDir, set);
  for (const tool of tools) await install(tool, dir);
  return { dir, tools };
}

/** Packer takes a plugin only under its full name and with its checksum beside it. */
async function install({ name, path }: Tool, dir: string): Promise<void> {
  const { os, arch } = currentPlatform();
  const { stdout } = await run(path, ["describe"], { timeoutMs: 60_000 });
  const { version, api_version } = v.parse(v.pipe(v.string(), v.parseJson(), descriptionSchema), stdout);
  const folder = join(dir, "github.com", "hashicorp", name.replace("packer-plugin-", ""));
  const plugin = join(folder, `${name}_v${version}_${api_version}_${os}_${arch}`);
  if (await isThere(`${plugin}_SHA256SUM`)) return;
  await mkdir(folder, { recursive: true });
  await place(plugin, (draft) => link(path, draft).catch(() => copyFile(path, draft)));
  // The last to appear: with it the plugin counts.
  const sha256 = await sha256Of(path);
  await place(`${plugin}_SHA256SUM`, (draft) => writeFile(draft, sha256));
}

/** Make a file elsewhere and put it in place by one rename. */
async function place(file: string, make: (draft: string) => Promise<void>): Promise<void> {
  const draft = join(file, "..", `.${randomUUID()}`);
  await make(draft);
  await rename(draft, file);
  // Two names of one file are left as they are by rename.
  await rm(draft, { force: true });
}

async function isThere(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}

async function sha256Of(file: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file), hash);
  return hash.digest("hex");
}
