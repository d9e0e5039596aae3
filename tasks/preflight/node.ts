import type { Check, CheckControl, Finding } from "../../lib/check/index.ts";
import { loadSettings, type SettingName, type Source } from "../../lib/config/index.ts";
import type { EnvironmentSettings } from "../tf-init.ts";
import { isGiven } from "./settings.ts";

/** Checks of the node, where the settings lead to one. */
export function nodeChecks(sources: readonly Source[]): Check[] {
  const needs: readonly SettingName[] = ["PM_API_URL"];
  const skip = (): string | false => {
    const missing = needs.filter((name) => !isGiven(sources, name));
    return missing.length > 0 && `needs ${missing.join(", ")}`;
  };
  return [
    {
      name: "node/api",
      title: "The API knows the token",
      needs,
      skip,
      run: async (control) =>
        await withSettings(sources, async (settings) => await template(settings, control)),
    },
    {
      name: "node/places",
      title: "Node, storage, bridge exist",
      needs,
      skip,
      run: async (control) =>
        await withSettings(sources, async (settings) => await placesOf(settings, control)),
    },
    {
      name: "node/ssh",
      title: "The node lets us in by SSH",
      needs: ["ssh", ...needs],
      skip,
      run: async (control) => await byShell(sources, control),
    },
  ];
}

async function withSettings(
  sources: readonly Source[],
  look: (settings: EnvironmentSettings) => Promise<Finding[]>,
): Promise<Finding[]> {
  const { ENVIRONMENT_REQUIRES, ENVIRONMENT_USES } = await import("../tf-init.ts");
  return await look(await loadSettings(ENVIRONMENT_REQUIRES, ENVIRONMENT_USES, sources));
}

async function template(settings: EnvironmentSettings, { signal }: CheckControl): Promise<Finding[]> {
  const { templateOf } = await import("../tf-init.ts");
  const { apiFrom, findTemplate, version } = await import("../../lib/proxmox/index.ts");
  const api = apiFrom(settings);
  try {
    const release = await version(api, signal);
    const name = templateOf(settings);
    const found = await findTemplate(api, name, signal);
    if (found !== undefined) {
      return [
        { state: "ok", evidence: `Proxmox VE ${release}; the template ${name} is VM ${found.vmid}`, fix: [] },
      ];
    }
    const evidence = `Proxmox VE ${release}; there is no template ${name} yet`;
    const fix = [
      "Make it:",
      "$ npm run build-image",
      "Or of a qcow2 that you have:",
      "$ npm run deploy -- --image FILE",
    ];
    return [{ state: "ok", evidence, fix }];
  } finally {
    await api.close();
  }
}

async function placesOf(settings: EnvironmentSettings, { signal }: CheckControl): Promise<Finding[]> {
  const { apiFrom, places } = await import("../../lib/proxmox/index.ts");
  const { PM_NODE: node, PM_STORAGE: storage, PM_BRIDGE: bridge } = settings;
  const api = apiFrom(settings);
  try {
    const { nodes, storages = [], bridges = [] } = await places(api, node, signal);
    // Of a node that is not there nothing else is known.
    if (!nodes.includes(node)) return [absent(`node ${node}`, nodes, "PM_NODE")];
    return [
      ...(storages.includes(storage) ? [] : [absent(`storage ${storage}`, storages, "PM_STORAGE")]),
      ...(bridges.includes(bridge) ? [] : [absent(`bridge ${bridge}`, bridges, "PM_BRIDGE")]),
    ];
  } finally {
    await api.close();
  }
}

async function byShell(sources: readonly Source[], { signal }: CheckControl): Promise<Finding[]> {
  const { demandSpace, shellFrom, storages } = await import("../../lib/proxmox/index.ts");
  const uses = [
    "PM_API_URL",
    "PM_SSH_HOST",
    "PM_SSH_USER",
    "PM_SSH_PORT",
    "PM_SSH_CONFIG",
    "PM_STORAGE",
  ] as const;
  const settings = await loadSettings([], uses, sources);
  const shell = shellFrom(settings);
  try {
    await shell.run(["pveversion"], { signal });
    demandSpace(await storages(shell, { signal }), settings.PM_STORAGE, 0);
    return [];
  } finally {
    await shell.close();
  }
}

function absent(what: string, there: readonly string[], setting: string): Finding {
  return {
    state: "failed",
    evidence: `There is no ${what}, or the token may not use it; there are ${there.join(", ") || "none that the token may see"}`,
    fix: [`Set ${setting} to one of them`],
  };
}
