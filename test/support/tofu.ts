import type { Sandbox } from "../../lib/sandbox/index.ts";
import { ensureTool, providerMirror } from "../../lib/toolchain/index.ts";
import type { EnvironmentRequest } from "../../tasks/tf-init.ts";

/** OpenTofu and the provider from the toolchain; downloaded or built once a machine. */
export async function tofuTools(): Promise<{ program: string; cliConfigFile: string }> {
  const { path } = await ensureTool("tofu");
  const { cliConfigFile } = await providerMirror();
  return { program: path, cliConfigFile };
}

/** The environment k3s-single of a working copy, on the embedded node; its VM is made of a template that is there from the start, and stays off. */
export function environmentOn({ endpoints }: Sandbox, root: string): EnvironmentRequest {
  const { apiUrl, tokenId, tokenSecret, node, storage, bridge } = endpoints;
  return {
    root,
    environment: "k3s-single",
    variables: {
      pm_api_url: apiUrl,
      pm_api_token_id: tokenId,
      node,
      storage,
      bridge,
      template: "debian-12-v1",
      ssh_pubkey:
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBXRK5CLWFa1aUdkLZexzJI8jAi4sGANxV0HLVdf7jrI ann@laptop",
      started: false,
    },
    secrets: { pm_api_token_secret: tokenSecret },
  };
}
