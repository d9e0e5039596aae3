import { randomUUID } from "node:crypto";
import { copyFile, link, mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ToolCache } from "./cache.ts";
import { type EnsureOptions, ensureTool } from "./ensure.ts";
import { currentPlatform } from "./tool.ts";

/** OpenTofu's view of the provider we got. */
export interface ProviderMirror {
  /** The filesystem mirror's folder. */
  readonly dir: string;
  /** A CLI configuration that uses it; hand it over as TF_CLI_CONFIG_FILE. */
  readonly cliConfigFile: string;
}

/**
 * Make OpenTofu take bpg/proxmox from the toolchain, and every other provider from its registry: `tofu init` then
 * works without a network, with the pinned version.
 * @see https://opentofu.org/docs/cli/config/config-file/#provider-installation
 * @throws {TaskError} when the provider is not to be had
 */
export async function providerMirror(options: EnsureOptions = {}): Promise<ProviderMirror> {
  const cache = options.cache ?? new ToolCache();
  const provider = await ensureTool("provider-proxmox", options);
  const { os, arch } = currentPlatform();
  const folder = join(cache.mirrorDir, "registry.opentofu.org", "bpg", "proxmox");
  // A release comes as the zip that a mirror takes as it is; a build is a program in a folder of its own.
  const target = provider.path.endsWith(".zip")
    ? join(folder, `terraform-provider-proxmox_${provider.version}_${os}_${arch}.zip`)
    : join(folder, provider.version, `${os}_${arch}`, `terraform-provider-proxmox_v${provider.version}`);
  await place(provider.path, target, cache.mirrorDir);
  const cliConfigFile = join(cache.mirrorDir, "tofu.rc");
  await writeChanged(cliConfigFile, cliConfig(cache.mirrorDir));
  return { dir: cache.mirrorDir, cliConfigFile };
}

function cliConfig(dir: string): string {
  return `provider_installation {
  filesystem_mirror {
    path    = ${JSON.stringify(dir)}
    include = ["registry.opentofu.org/bpg/proxmox"]
  }
  direct {
    exclude = ["registry.opentofu.org/bpg/proxmox"]
  }
}
`;
}

/**
 * Put a file in place by one rename; a hard link where the file system has them, since a provider is large.
 * @param drafts a folder of the same file system: OpenTofu takes whatever lies beside a provider for a part of it
 */
async function place(from: string, to: string, drafts: string): Promise<void> {
  const [wanted, there] = await Promise.all([stat(from), stat(to).catch(() => undefined)]);
  if (there !== undefined && there.dev === wanted.dev && there.ino === wanted.ino) return;
  await mkdir(join(to, ".."), { recursive: true });
  const draft = join(drafts, `draft-${randomUUID()}`);
  await link(from, draft).catch(() => copyFile(from, draft));
  await rename(draft, to);
  // Two names of one file are left as they are by rename.
  await rm(draft, { force: true });
}

async function writeChanged(file: string, text: string): Promise<void> {
  if ((await readFile(file, "utf8").catch(() => undefined)) === text) return;
  const draft = `${file}.${randomUUID()}`;
  await writeFile(draft, text);
  await rename(draft, file);
}
