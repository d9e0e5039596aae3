import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadSettings, SETTING_NAMES, type Source, specOf } from "../lib/config/index.ts";
import { TaskError, UsageError } from "../lib/errors.ts";
import { defineCommand, main, type Step } from "../lib/task/index.ts";
import type { ToolName } from "../lib/toolchain/index.ts";
import type { EnvironmentSettings } from "./tf-init.ts";

/** What the checks look at. */
export interface PreflightRequest {
  /** The repository's folder. */
  readonly root: string;
  readonly sources: readonly Source[];
}

/** Every check there is; all are independent, and none changes anything. */
export function preflightChecks({ root, sources }: PreflightRequest): Step[] {
  return [...treeChecks(root), settingsCheck(sources), ...nodeChecks(sources)];
}

/** Checks of what is in the repository. Each gets the tools it needs by itself. */
function treeChecks(root: string): Step[] {
  return [
    {
      title: "Tools are there",
      async run({ note }) {
        const { locateTool, TOOL_GROUPS } = await import("../lib/toolchain/index.ts");
        const found = await Promise.all(
          TOOL_GROUPS.deploy.map(async (name) => [name, await locateTool(name)] as const),
        );
        const missing = found.filter(([, tool]) => tool === undefined).map(([name]) => name);
        if (missing.length > 0)
          note(`Not there yet, got when needed or by npm run setup: ${missing.join(", ")}`);
      },
    },
    {
      title: "OpenTofu files are formatted",
      async run({ output, signal }) {
        const { unformatted } = await import("../lib/tofu/index.ts");
        const files = await unformatted({
          program: await tool("tofu", output, signal),
          cliConfigFile: "/dev/null",
          directory: join(root, "terraform"),
          signal,
        });
        if (files.length === 0) return;
        throw new TaskError({
          what: `${files.length} OpenTofu files are not formatted`,
          why: files.join("\n"),
          todo: ["$ tofu fmt -recursive terraform/"],
        });
      },
    },
    {
      title: "OpenTofu environments are valid",
      run: async () => {
        const { listEnvironments } = await import("../lib/tofu/index.ts");
        return (await listEnvironments(root)).map((name) => validationOf(root, name));
      },
      parallel: true,
    },
    ...["k8s/argo", "k8s/clusters/home", "k8s/clusters/home/bootstrap"].map(
      (path): Step => ({
        title: `${path} renders`,
        async run({ output, signal }) {
          const { kustomizeBuild, renderBootstrap } = await import("../lib/k8s/index.ts");
          const kustomize = { program: await tool("kustomize", output, signal) };
          const directory = join(root, path);
          if (path.endsWith("bootstrap")) {
            await renderBootstrap(
              kustomize,
              directory,
              await tool("argocd-manifests", output, signal),
              signal,
            );
          } else await kustomizeBuild(kustomize, directory, signal);
        },
      }),
    ),
  ];
}

/** Validated on a private copy: the environment's own .terraform stays as it is. */
function validationOf(root: string, name: string): Step {
  return {
    title: `terraform/envs/${name}`,
    async run({ output, signal }) {
      const { environmentDirectory, Tofu } = await import("../lib/tofu/index.ts");
      const { providerMirror } = await import("../lib/toolchain/index.ts");
      const program = await tool("tofu", output, signal);
      const { cliConfigFile } = await providerMirror({ signal, onProgress: output });
      const stateDir = await mkdtemp(join(tmpdir(), "homelab-preflight-"));
      try {
        const directory = await environmentDirectory(root, name);
        const tofu = await Tofu.open({ program, cliConfigFile, directory, stateDir, signal });
        try {
          await tofu.init();
          await tofu.validate();
        } finally {
          tofu.close();
        }
      } finally {
        await rm(stateDir, { recursive: true, force: true });
      }
    },
  };
}

async function tool(name: ToolName, output: (line: string) => void, signal: AbortSignal): Promise<string> {
  const { ensureTool } = await import("../lib/toolchain/index.ts");
  return (await ensureTool(name, { signal, onProgress: output })).path;
}

/** What is set is well-formed; what is not set, but needed on a real node, is named. */
function settingsCheck(sources: readonly Source[]): Step {
  return {
    title: "Settings are well-formed",
    async run({ note }) {
      await loadSettings([], SETTING_NAMES, sources).catch((error: unknown) => {
        // A finding like any other here, not wrong usage of this command.
        throw error instanceof UsageError ? error.asFinding() : error;
      });
      const { DEPLOY_REQUIRES } = await import("./deploy.ts");
      const missing = DEPLOY_REQUIRES.filter((name) => !isGiven(sources, name));
      if (missing.length === 0) return;
      note(
        [
          "Not set yet, needed for a real node (the sandbox needs none of them):",
          ...missing.map((name) => `  ${name}: ${specOf(name).about}`),
        ].join("\n"),
      );
    },
  };
}

function isGiven(sources: readonly Source[], name: (typeof SETTING_NAMES)[number]): boolean {
  return sources.some(({ values }) => Boolean(values[name]?.trim()));
}

/** Checks of the node, where the settings lead to one. */
function nodeChecks(sources: readonly Source[]): Step[] {
  const skip = (): string | false => !isGiven(sources, "PM_API_URL") && "PM_API_URL is not set";
  return [
    {
      title: "The Proxmox API answers and knows the token",
      skip,
      async run({ signal, note }) {
        const { ENVIRONMENT_REQUIRES, ENVIRONMENT_USES, templateOf } = await import("./tf-init.ts");
        const { apiFrom, findTemplate, version } = await import("../lib/proxmox/index.ts");
        const settings: EnvironmentSettings = await loadSettings(
          ENVIRONMENT_REQUIRES,
          ENVIRONMENT_USES,
          sources,
        );
        const api = apiFrom(settings);
        try {
          const release = await version(api, signal);
          const name = templateOf(settings);
          const template = await findTemplate(api, name, signal);
          note(
            template === undefined
              ? `Proxmox VE ${release}; there is no template ${name} yet, deploy --image FILE makes it`
              : `Proxmox VE ${release}; the template ${name} is VM ${template.vmid}`,
          );
        } finally {
          await api.close();
        }
      },
    },
    {
      title: "Node, storage and bridge exist",
      skip,
      async run({ signal }) {
        const { apiFrom, places } = await import("../lib/proxmox/index.ts");
        const { ENVIRONMENT_REQUIRES, ENVIRONMENT_USES } = await import("./tf-init.ts");
        const settings = await loadSettings(ENVIRONMENT_REQUIRES, ENVIRONMENT_USES, sources);
        const { PM_NODE: node, PM_STORAGE: storage, PM_BRIDGE: bridge } = settings;
        const api = apiFrom(settings);
        try {
          const { nodes, storages, bridges } = await places(api, node, signal);
          if (!nodes.includes(node)) throw missing(`node ${node}`, nodes, "PM_NODE");
          if (!storages?.includes(storage)) throw missing(`storage ${storage}`, storages, "PM_STORAGE");
          if (!bridges?.includes(bridge)) throw missing(`bridge ${bridge}`, bridges, "PM_BRIDGE");
        } finally {
          await api.close();
        }
      },
    },
    {
      title: "The node lets us in by SSH, and its storage is there",
      skip,
      async run({ signal }) {
        const { demandSpace, shellFrom, storages } = await import("../lib/proxmox/index.ts");
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
        } finally {
          await shell.close();
        }
      },
    },
  ];
}

function missing(what: string, there: readonly string[] = [], setting: string): TaskError {
  return new TaskError({
    what: `There is no ${what}, or the token may not use it`,
    why: `There are ${there.join(", ") || "none that the token may see"}`,
    todo: [`Set ${setting} to one of them`],
  });
}

const command = defineCommand({
  name: "preflight",
  summary: "Check what can be checked before anything is changed: tools, files, settings, the node",
  readOnly: true,
  async run(context) {
    const { root, sources } = context;
    let skipped = 0;
    const checks = preflightChecks({ root, sources }).map((check) => ({
      ...check,
      skip: async () => {
        const reason = (await check.skip?.()) ?? false;
        if (reason !== false) skipped += 1;
        return reason;
      },
    }));
    await context.steps([{ title: "Check", parallel: true, run: async () => checks }]);
    const passed = checks.length - skipped;
    context.result(`${passed} checks passed${skipped > 0 ? `, ${skipped} skipped` : ""}`, {
      passed,
      skipped,
    });
  },
});

await main(import.meta.url, command);
