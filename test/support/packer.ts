import { join } from "node:path";
import { withoutPlugin } from "../../lib/packer/index.ts";
import { childEnv, run } from "../../lib/process.ts";
import { ROOT } from "../../lib/task/index.ts";
import { ensureTool, packerPlugins } from "../../lib/toolchain/index.ts";

/** The image's folders with Packer's files, by builder. */
export const BUILDERS = {
  proxmox: join(ROOT, "packer", "alma9-k3s-optimized"),
  qemu: join(ROOT, "packer", "alma9-k3s-optimized", "qemu"),
} as const;
export type Builder = keyof typeof BUILDERS;

export type Variables = Readonly<Record<string, string>>;

/** Values for every variable without a default, of both builders. */
export const VALUES: Variables = {
  image_version: "alma9-k3-node-amd64-v1.28.5-v1",
  k3s_version: "v1.28.5+k3s1",
  alma_iso_url: "/nowhere/AlmaLinux-9-latest-x86_64-minimal.iso",
  alma_iso_checksum: `sha256:${"0".repeat(64)}`,
  build_password: "only-for-the-build",
  goss_binary: "/bin/true",
  log_directory: "/nowhere/logs",
  output_directory: "/nowhere/output",
  proxmox_url: "https://10.23.45.10:8006/api2/json",
  proxmox_username: "root@pam!packer",
  proxmox_token: "00000000-0000-0000-0000-000000000000",
  proxmox_node: "pve",
};

/** Run the real packer; 1 is what it ends with when it finds fault. */
export async function packer(
  args: readonly string[],
  { variables = {}, input, pluginPath = "/nowhere" }: PackerOptions = {},
): Promise<{ readonly text: string; readonly exitCode: number | null }> {
  const { path } = await ensureTool("packer");
  const env = childEnv({ CHECKPOINT_DISABLE: "1", PACKER_NO_COLOR: "1", PACKER_PLUGIN_PATH: pluginPath });
  for (const [name, value] of Object.entries({ ...VALUES, ...variables })) env[`PKR_VAR_${name}`] = value;
  const { stdout, stderr, exitCode } = await run(path, args, {
    env,
    allow: [0, 1],
    ...(input === undefined ? {} : { input }),
  });
  return { text: `${stdout}${stderr}`, exitCode };
}

interface PackerOptions {
  readonly variables?: Variables;
  readonly input?: string;
  readonly pluginPath?: string;
}

/** The folder that `packer` finds the qemu plugin in; built or downloaded once a machine. */
export async function qemuPluginPath(): Promise<string> {
  return (await packerPlugins(["qemu"])).dir;
}

/** A copy of the Proxmox build without the plugin's settings, where there is no plugin. */
export async function proxmoxWithoutPlugin(folder: string): Promise<string> {
  return await withoutPlugin(BUILDERS.proxmox, folder);
}

/**
 * What expressions are in a builder's folder. Packer needs no plugin for that, so both builders can be asked anywhere.
 */
export async function evaluate(
  builder: Builder,
  expressions: readonly string[],
  variables: Variables = {},
): Promise<unknown[]> {
  // Of several lines Packer would answer the last alone.
  const input = `jsonencode([${expressions.join(", ")}])\n`;
  const { text, exitCode } = await packer(["console", BUILDERS[builder]], { variables, input });
  // It ends with 0 when an expression cannot be evaluated, too.
  if (exitCode !== 0 || text.startsWith("Error: ")) throw new Error(text);
  return JSON.parse(text) as unknown[];
}
