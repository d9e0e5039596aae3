import { rm } from "node:fs/promises";
import { join } from "node:path";
import { type Check, type CheckControl, type Finding, Unavailable } from "../../lib/check/index.ts";
import type { PackerDirectory } from "../../lib/packer/index.ts";
import { temporaryFolder } from "../../lib/temporary.ts";
import type { PackerPlugin } from "../../lib/toolchain/index.ts";
import { plugins, shownProgram, tool } from "./toolbox.ts";
import { finding, type Tree } from "./tree.ts";

/** Packer's and OpenTofu's files are written as their tools write them. */
export function formatChecks({ root }: Tree): Check[] {
  return [
    {
      name: "packer-fmt",
      title: "Packer files are formatted",
      needs: ["packer"],
      async run(control) {
        const { unformattedPacker } = await import("../../lib/packer/index.ts");
        const packer = await tool("packer", control);
        const files = await unformattedPacker(join(root, "packer"), {
          program: packer.path,
          signal: control.signal,
        });
        return finding(
          "failed",
          files.map((file) => `packer/${file}`),
          [`$ ${shownProgram(packer)} fmt -recursive packer/`],
        );
      },
    },
    {
      name: "tofu-fmt",
      title: "OpenTofu files are formatted",
      needs: ["tofu"],
      async run(control) {
        const { unformatted } = await import("../../lib/tofu/index.ts");
        const tofu = await tool("tofu", control);
        const files = await unformatted({
          program: tofu.path,
          cliConfigFile: "/dev/null",
          directory: join(root, "terraform"),
          signal: control.signal,
        });
        return finding(
          "failed",
          files.map((file) => `terraform/${file}`),
          [`$ ${shownProgram(tofu)} fmt -recursive terraform/`],
        );
      },
    },
  ];
}

/** Every folder that Packer builds from, and every environment, is valid. */
export async function validityChecks({ root }: Tree): Promise<Check[]> {
  const { packerDirectories } = await import("../../lib/packer/index.ts");
  const { listEnvironments } = await import("../../lib/tofu/index.ts");
  const [directories, environments] = await Promise.all([packerDirectories(root), listEnvironments(root)]);
  return [
    ...directories.map((directory) => packerCheck(root, directory)),
    ...environments.map((name) => tofuCheck(root, name)),
  ];
}

/** Values for variables without a default: what they are makes no difference here, their form does. */
export const PACKER_EXAMPLES: Readonly<Record<string, string>> = {
  image_version: "alma9-k3-node-amd64-v1.28.5-v1",
  k3s_version: "v1.28.5+k3s1",
  alma_iso_url: "/nowhere/AlmaLinux-9-latest-x86_64-minimal.iso",
  alma_iso_checksum: `sha256:${"0".repeat(64)}`,
  build_password: "only-for-the-build",
  // The two that Packer looks at: any file will do.
  goss_binary: process.execPath,
  log_directory: "/nowhere/logs",
  output_directory: "/nowhere/output",
  proxmox_url: "https://10.23.45.10:8006/api2/json",
  proxmox_username: "root@pam!packer",
  proxmox_token: "00000000-0000-0000-0000-000000000000",
  proxmox_node: "pve",
};

function packerCheck(root: string, { path, plugins: named }: PackerDirectory): Check {
  const [plugin = path.split("/").at(-1) ?? path] = named;
  return {
    name: `packer/${plugin}`,
    title: `Build with ${plugin} is valid`,
    needs: ["packer", ...named.map((name) => `packer-plugin-${name}`)],
    async run(control) {
      const { validatePacker } = await import("../../lib/packer/index.ts");
      const { signal } = control;
      const { path: program } = await tool("packer", control);
      const directory = join(root, path);
      let pluginPath: string;
      try {
        pluginPath = await plugins(named.map(knownPlugin), control);
      } catch (error) {
        if (!(error instanceof Unavailable)) throw error;
        return await withoutItsPlugin(directory, path, error.finding, program, signal);
      }
      const words = await validatePacker(directory, pluginPath, PACKER_EXAMPLES, { program, signal });
      return finding("failed", words === undefined ? [] : [words], [`Mend the files in ${path}`]);
    },
  };
}

/** What can be looked at without the plugin: all but the source's own settings. */
async function withoutItsPlugin(
  directory: string,
  path: string,
  unavailable: Finding,
  program: string,
  signal: AbortSignal,
): Promise<Finding[]> {
  const { validatePacker, withoutPlugin } = await import("../../lib/packer/index.ts");
  const folder = temporaryFolder("homelab-preflight");
  try {
    const copy = await withoutPlugin(directory, folder);
    const words = await validatePacker(copy, "/nowhere", PACKER_EXAMPLES, { program, signal });
    const evidence = `${unavailable.evidence}\nEverything else in ${path} was validated without it`;
    return [
      { ...unavailable, evidence },
      ...finding("failed", words === undefined ? [] : [words], [`Mend the files in ${path}`]),
    ];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function knownPlugin(name: string): PackerPlugin {
  if (name === "qemu" || name === "proxmox") return name;
  throw new Unavailable(`packer-plugin-${name}`, `The toolchain does not know the plugin ${name}`, [
    "Add it to lib/toolchain/recipes.ts",
  ]);
}

/** Validated on a private copy: the environment's own .terraform stays as it is. */
function tofuCheck(root: string, name: string): Check {
  return {
    name: `tofu/${name}`,
    title: "Environment is valid",
    needs: ["tofu", "provider-proxmox"],
    async run(control) {
      const { environmentDirectory, Tofu } = await import("../../lib/tofu/index.ts");
      const { signal } = control;
      const { path: program } = await tool("tofu", control);
      const cliConfigFile = await mirror(control);
      const stateDir = temporaryFolder("homelab-preflight");
      try {
        const directory = await environmentDirectory(root, name);
        const tofu = await Tofu.open({ program, cliConfigFile, directory, stateDir, signal });
        try {
          await tofu.init();
          await tofu.validate();
        } finally {
          tofu.close();
        }
      } finally {
        await rm(stateDir, { recursive: true, force: true });
      }
      return [];
    },
  };
}

async function mirror(control: CheckControl): Promise<string> {
  const { providerMirror } = await import("../../lib/toolchain/index.ts");
  await tool("provider-proxmox", control);
  return (await providerMirror({ signal: control.signal, onProgress: control.output })).cliConfigFile;
}
