import type { Check, CheckControl, Finding } from "../../../lib/check/index.ts";
import type { SettingName, Source } from "../../../lib/config/index.ts";
import { isGiven } from "../settings.ts";
import type { NodeLook } from "./look.ts";

/** The checks of a node, and what ends their connections. */
export interface NodeChecks {
  readonly checks: Check[];
  close(): Promise<void>;
}

const URL: readonly SettingName[] = ["PM_API_URL"];
const API: readonly SettingName[] = ["PM_API_URL", "PM_API_TOKEN_ID", "PM_API_TOKEN_SECRET"];

type Findings = (look: NodeLook, signal: AbortSignal) => Promise<Finding[]>;

interface NodeCheck {
  readonly name: string;
  readonly title: string;
  /** The settings without which it cannot run; SSH needs one of two. */
  readonly needs: readonly SettingName[] | "ssh";
  /** Loaded when it runs. */
  readonly findings: () => Promise<Findings>;
}

const api = (): Promise<typeof import("./api.ts")> => import("./api.ts");
const places = (): Promise<typeof import("./places.ts")> => import("./places.ts");
const machines = (): Promise<typeof import("./machines.ts")> => import("./machines.ts");
const shell = (): Promise<typeof import("./shell.ts")> => import("./shell.ts");
const hardware = (): Promise<typeof import("./hardware.ts")> => import("./hardware.ts");

const CHECKS: readonly NodeCheck[] = [
  {
    name: "name",
    title: "The API's name is known",
    needs: URL,
    findings: async () => (await api()).nameFindings,
  },
  { name: "api", title: "The API answers", needs: API, findings: async () => (await api()).apiFindings },
  {
    name: "certificate",
    title: "The certificate is trusted",
    needs: URL,
    findings: async () => (await import("./certificate.ts")).certificateFindings,
  },
  {
    name: "token",
    title: "The API accepts the token",
    needs: API,
    findings: async () => (await api()).tokenFindings,
  },
  {
    name: "privileges",
    title: "The token may do enough",
    needs: API,
    findings: async () => (await api()).privilegeFindings,
  },
  {
    name: "version",
    title: "Proxmox VE is 8 or 9",
    needs: API,
    findings: async () => (await api()).versionFindings,
  },
  {
    name: "online",
    title: "The node is online",
    needs: API,
    findings: async () => {
      const { onlineFindings } = await places();
      return async (look, signal) =>
        onlineFindings(await look.ask(signal, async (facts) => await facts.nodes()), look.settings.PM_NODE);
    },
  },
  {
    name: "storages",
    title: "Storages have what is needed",
    needs: API,
    findings: async () => (await places()).storageFindings,
  },
  {
    name: "bridge",
    title: "The bridge is there",
    needs: API,
    findings: async () => (await places()).bridgeFindings,
  },
  {
    name: "iso",
    title: "The ISO can be had",
    needs: API,
    findings: async () => (await machines()).isoFindings,
  },
  {
    name: "template",
    title: "The template can be had",
    needs: API,
    findings: async () => (await machines()).templateFindings,
  },
  {
    name: "vms",
    title: "The VM's name is free",
    needs: API,
    findings: async () => (await machines()).vmFindings,
  },
  {
    name: "addresses",
    title: "The VM's address is free",
    needs: API,
    findings: async () => (await machines()).addressFindings,
  },
  {
    name: "host-key",
    title: "The SSH host key is known",
    needs: "ssh",
    findings: async () => (await shell()).hostKeyFindings,
  },
  {
    name: "ssh",
    title: "The node lets us in by SSH",
    needs: "ssh",
    findings: async () => (await shell()).loginFindings,
  },
  {
    name: "qm",
    title: "Disks can be imported (qm)",
    needs: "ssh",
    findings: async () => (await shell()).qmFindings,
  },
  {
    name: "upload",
    title: "Images have a way to the node",
    needs: API,
    findings: async () => (await shell()).uploadFindings,
  },
  {
    name: "clock",
    title: "The clocks agree",
    needs: API,
    findings: async () => (await hardware()).clockFindings,
  },
  {
    name: "resolver",
    title: "The node finds names (DNS)",
    needs: "ssh",
    findings: async () => (await hardware()).resolverFindings,
  },
  {
    name: "cpu",
    title: "The processor fits the VMs",
    needs: "ssh",
    findings: async () => (await hardware()).cpuFindings,
  },
];

/**
 * Checks of the node, where the settings lead to one. They share what they ask, and one SSH connection.
 * @param root the repository's folder
 */
export function nodeChecks(root: string, sources: readonly Source[]): NodeChecks {
  let look: Promise<NodeLook> | undefined;
  const looking = async (): Promise<NodeLook> => {
    look ??= import("./look.ts").then(async ({ NodeLook }) => await NodeLook.at(root, sources));
    return await look;
  };
  const checks = CHECKS.map(
    ({ name, title, needs, findings }): Check => ({
      name: `node/${name}`,
      title,
      needs: needs === "ssh" ? ["ssh", "PM_API_URL or PM_SSH_HOST"] : needs,
      skip: () => lacking(needs, sources),
      run: async ({ signal }: CheckControl) => await (await findings())(await looking(), signal),
    }),
  );
  return {
    checks,
    async close() {
      await (await look?.catch(() => undefined))?.close();
    },
  };
}

/** Why a check cannot be made, in words that have room beside its title in a terminal of 80 columns. */
function lacking(needs: NodeCheck["needs"], sources: readonly Source[]): string | false {
  if (needs === "ssh") {
    const given = isGiven(sources, "PM_API_URL") || isGiven(sources, "PM_SSH_HOST");
    return !given && "needs PM_SSH_HOST";
  }
  const missing = needs.filter((name) => !isGiven(sources, name));
  const [first] = missing;
  return first !== undefined && `needs ${missing.length === 1 ? first : "PM_API_*"}`;
}
