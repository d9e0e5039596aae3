import { join } from "node:path";
import { COMMAND_LINE, type SettingName, type Source } from "../config/index.ts";
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

/** What a person should know about a run on the sandbox: that it is one, and which of their settings do not count. */
export function sandboxLines({ endpoints }: Sandbox, outside: readonly Source[], verbose: boolean): string[] {
  const aside = outside.flatMap(({ name, values }) => {
    const names = Object.keys(values).filter((each) => isOfNode(each) && values[each]?.trim());
    return names.length === 0 ? [] : [{ name, names }];
  });
  const hint =
    aside.length === 0 ? "" : ` (PM_* of ${aside.map(({ name }) => name).join(" and ")} do not count)`;
  return [
    `Sandbox: an embedded, simulated Proxmox node at ${endpoints.apiUrl}; no real node is touched${hint}`,
    ...(verbose ? aside.map(({ name, names }) => `  Left aside from ${name}: ${names.join(", ")}`) : []),
  ];
}

/** Where this run's settings come from, the strongest first. */
export function sourcesFor(
  flags: Source["values"],
  outside: readonly Source[],
  sandbox: Sandbox | undefined,
): Source[] {
  const commandLine = { name: COMMAND_LINE, values: flags };
  if (sandbox === undefined) return [commandLine, ...outside];
  const values = sandboxSettings(sandbox);
  // What a person has set for a real node must not leak into a run on the sandbox, nor the other way round.
  const keep = ([name]: [string, unknown]): boolean => !isOfNode(name) && !(name in values);
  return [
    commandLine,
    { name: "the sandbox", values },
    ...outside.map((source) => ({
      name: source.name,
      values: Object.fromEntries(Object.entries(source.values).filter(keep)),
    })),
  ];
}

/** Whether a setting is about the Proxmox node. */
function isOfNode(name: string): boolean {
  return name.startsWith("PM_");
}
