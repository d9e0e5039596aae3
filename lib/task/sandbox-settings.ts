import { join } from "node:path";
import type { SettingName } from "../config/index.ts";
import type { Sandbox } from "../sandbox/index.ts";

/** The settings that point every task at the embedded node. */
export function sandboxSettings({ dir, endpoints }: Sandbox): Partial<Record<SettingName, string>> {
  return {
    PM_API_URL: endpoints.apiUrl,
    PM_API_TOKEN_ID: endpoints.tokenId,
    PM_API_TOKEN_SECRET: endpoints.tokenSecret,
    PM_TLS_CA: endpoints.caFile,
    PM_TLS_INSECURE: "false",
    PM_NODE: endpoints.node,
    PM_SSH_HOST: endpoints.sshHost,
    PM_SSH_PORT: String(endpoints.sshPort),
    PM_SSH_USER: endpoints.sshUser,
    PM_SSH_CONFIG: endpoints.sshConfigFile,
    PM_STORAGE: endpoints.storage,
    PM_ISO_STORAGE: endpoints.isoStorage,
    PM_BRIDGE: endpoints.bridge,
    CLUSTER_ACCESS: "jump",
    SSH_PUBLIC_KEY_FILE: endpoints.sshPublicKeyFile,
    KUBECONFIG: join(dir, "kubeconfig"),
  };
}
