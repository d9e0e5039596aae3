import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { pins } from "../../lib/pins.ts";
import { ensureTool } from "../../lib/toolchain/index.ts";
import { currentPlatform } from "../../lib/toolchain/tool.ts";
import type { WorkingCopy } from "./working-copy.ts";

const STAND_IN = fileURLToPath(new URL("./packer-stand-in.mjs", import.meta.url));

/**
 * Put a stand-in for Packer and its plugin for Proxmox in place, with the real goss beside them.
 * @returns the environment in which tasks find them
 */
export async function standInPacker(copy: WorkingCopy): Promise<Record<string, string>> {
  const cache = join(copy.home, "cache");
  const bin = join(copy.home, "bin");
  const { os, arch } = currentPlatform();
  const place = (name: string, version: string): string => {
    const folder = join(cache, "tools", name, `${version}-${os}-${arch}`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "tool.json"), JSON.stringify({ version, source: "download", file: name }));
    return join(folder, name);
  };
  const goss = await ensureTool("goss");
  const link = place("goss", goss.version);
  rmSync(link, { force: true });
  symlinkSync(goss.path, link);
  mkdirSync(bin, { recursive: true });
  const program = `#!/bin/sh\nexec '${process.execPath}' '${STAND_IN}' "$@"\n`;
  for (const file of [join(bin, "packer"), place("packer-plugin-proxmox", pins.packerPlugins.proxmox)])
    writeFileSync(file, program, { mode: 0o755 });
  return { HOMELAB_CACHE: cache, PATH: `${bin}:${process.env.PATH}`, HOMELAB_TOOLS: "path" };
}

/** The process group of the Packer that a run has begun, as its record has it. */
export function packerOf(copy: WorkingCopy, name: string): number {
  const file = join(copy.root, ".homelab", "builds", name, "run.json");
  return (JSON.parse(readFileSync(file, "utf8")) as { packer: { pid: number } }).packer.pid;
}
