import { type ApiAccess, ProxmoxApi } from "./api/client.ts";
import { NodeShell, type SshTarget } from "./ssh.ts";

/** What the settings say of the node. */
export interface NodeSettings {
  readonly PM_API_URL: URL;
  readonly PM_API_TOKEN_ID: string;
  readonly PM_API_TOKEN_SECRET: string;
  readonly PM_TLS_CA: string | undefined;
  readonly PM_TLS_FINGERPRINT: string | undefined;
  readonly PM_TLS_INSECURE: boolean;
}

export interface SshSettings {
  readonly PM_API_URL: URL | undefined;
  readonly PM_SSH_HOST: string | undefined;
  readonly PM_SSH_USER: string;
  readonly PM_SSH_PORT: number;
  readonly PM_SSH_CONFIG: string | undefined;
}

/** A client of the API, from settings. */
export function apiFrom(settings: NodeSettings): ProxmoxApi {
  const access: ApiAccess = {
    url: settings.PM_API_URL,
    tokenId: settings.PM_API_TOKEN_ID,
    tokenSecret: settings.PM_API_TOKEN_SECRET,
    tls: {
      caFile: settings.PM_TLS_CA,
      fingerprint: settings.PM_TLS_FINGERPRINT,
      insecure: settings.PM_TLS_INSECURE,
    },
  };
  return new ProxmoxApi(access);
}

/** SSH to the node, from settings: without PM_SSH_HOST it is the API's host. */
export function shellFrom(settings: SshSettings): NodeShell {
  const target: SshTarget = {
    host: settings.PM_SSH_HOST ?? settings.PM_API_URL?.hostname.replace(/^\[|\]$/g, "") ?? "",
    user: settings.PM_SSH_USER,
    port: settings.PM_SSH_PORT,
    configFile: settings.PM_SSH_CONFIG,
  };
  return new NodeShell(target);
}
