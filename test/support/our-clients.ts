import { NodeShell, ProxmoxApi } from "../../lib/proxmox/index.ts";
import type { SandboxEndpoints } from "../../lib/sandbox/index.ts";

/** Our own clients of an embedded node; whoever opens them closes them. */
export function ourClients(endpoints: SandboxEndpoints): {
  readonly api: ProxmoxApi;
  readonly shell: NodeShell;
} {
  const { apiUrl, tokenId, tokenSecret, caFile, sshHost, sshUser, sshPort, sshConfigFile } = endpoints;
  return {
    api: new ProxmoxApi({ url: new URL(apiUrl), tokenId, tokenSecret, tls: { caFile } }),
    shell: new NodeShell({ host: sshHost, user: sshUser, port: sshPort, configFile: sshConfigFile }),
  };
}
