import type { SettingName } from "../../lib/config/index.ts";
import { UsageError } from "../../lib/errors.ts";
import { ApiWay, apiFrom, SshWay, shellFrom, type UploadWay } from "../../lib/proxmox/index.ts";
import type { TaskContext } from "../../lib/task/index.ts";

/** Settings that either way needs. */
const SSH_USES = ["PM_API_URL", "PM_SSH_HOST", "PM_SSH_USER", "PM_SSH_PORT", "PM_SSH_CONFIG"] as const;
const API_REQUIRES = ["PM_API_URL", "PM_API_TOKEN_ID", "PM_API_TOKEN_SECRET"] as const;
const API_USES = ["PM_NODE", "PM_TLS_CA", "PM_TLS_FINGERPRINT", "PM_TLS_INSECURE", "PM_API_TIMEOUT"] as const;

/** For the help; what a way cannot do without is demanded once it is chosen. */
export const WAY_USES = [
  ...SSH_USES,
  "PM_API_TOKEN_ID",
  "PM_API_TOKEN_SECRET",
  ...API_USES,
] as const satisfies readonly SettingName[];

export const VIA_FLAG = {
  type: "string",
  value: "WAY",
  about:
    "how the image comes onto the node: ssh, as root (default); or api, with the token alone: not resumed, zeros are sent",
} as const;

export type Via = "ssh" | "api";

/** @throws {UsageError} for a way that does not exist */
export function parseVia(text = "ssh"): Via {
  if (text === "ssh" || text === "api") return text;
  throw new UsageError({
    what: `There is no way ${text} onto the node`,
    todo: ["Use --via ssh or --via api"],
  });
}

/**
 * The way that was asked for.
 * @param close ends its connections
 * @throws {UsageError} for one that does not exist, or whose settings are missing
 */
export async function wayFrom(
  via: string | undefined,
  load: TaskContext["load"],
): Promise<{ readonly way: UploadWay; close(): Promise<void> }> {
  if (parseVia(via) === "api") {
    const settings = await load(API_REQUIRES, API_USES);
    const api = apiFrom(settings);
    return { way: new ApiWay(api, settings.PM_NODE), close: async () => await api.close() };
  }
  const shell = shellFrom(await load([], SSH_USES));
  shell.demandHost();
  return { way: new SshWay(shell), close: async () => await shell.close() };
}
