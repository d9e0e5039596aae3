import { ensureTool, providerMirror } from "../../lib/toolchain/index.ts";

/** OpenTofu and the provider from the toolchain; downloaded or built once a machine. */
export async function tofuTools(): Promise<{ program: string; cliConfigFile: string }> {
  const { path } = await ensureTool("tofu");
  const { cliConfigFile } = await providerMirror();
  return { program: path, cliConfigFile };
}
