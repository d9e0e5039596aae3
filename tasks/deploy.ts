import { resolve } from "node:path";
import { loadSettings, type SettingName, type Settings, type Source } from "../lib/config/index.ts";
import { TaskError } from "../lib/errors.ts";
import { type Application, type ArgoInstallation, argoLogin, type ClusterSession } from "../lib/k8s/index.ts";
import {
  ApiWay,
  apiFrom,
  inspectQcow2,
  listVms,
  type NodeShell,
  type ProxmoxApi,
  SshWay,
  shellFrom,
  type UploadWay,
} from "../lib/proxmox/index.ts";
import type { Sandbox } from "../lib/sandbox/index.ts";
import { alone, defineCommand, main, type Step } from "../lib/task/index.ts";
import { type EnvironmentOutputs, parseOutputs } from "../lib/tofu/index.ts";
import type { Vm } from "../lib/vm/index.ts";
import { repositoryRequest, repositorySteps } from "./argo/repository.ts";
import { type ArgoRequest, argoSteps } from "./argo.ts";
import { parseVia, VIA_FLAG, type Via } from "./image-upload/way.ts";
import { bootstrapDeps, bootstrapSteps } from "./k8s-bootstrap.ts";
import { CLUSTER_USES, clusterSession, known, kubeconfigSteps, tunnelHint, vmFrom } from "./kubeconfig.ts";
import { applyDeps, applySteps } from "./tf-apply.ts";
import {
  ENVIRONMENT_REQUIRES,
  ENVIRONMENT_USES,
  environmentRequest,
  keyDemand,
  templateOf,
} from "./tf-init.ts";
import { uploadSteps } from "./upload-image.ts";

export const DEPLOY_USES = [
  ...ENVIRONMENT_USES,
  ...CLUSTER_USES,
  "GIT_REPO_URL",
  "GIT_REVISION",
] as const satisfies readonly SettingName[];

type DeploySettings = Settings<(typeof ENVIRONMENT_REQUIRES)[number], (typeof DEPLOY_USES)[number]>;

export interface DeployRequest {
  readonly settings: DeploySettings;
  /** The repository's folder. */
  readonly root: string;
  readonly sandbox: Sandbox | undefined;
  /** The qcow2 to make the template of, where it is not there yet. */
  readonly image: string | undefined;
  /** How it comes onto the node. */
  readonly via?: Via | undefined;
  readonly allowReplace?: readonly string[];
}

/** What a deployment came to. */
export interface Deployment {
  readonly vm: EnvironmentOutputs;
  readonly template: string;
  readonly kubeconfig: string;
  /** How a person calls kubectl: by name, or by its path in the cache. */
  readonly kubectl: string;
  readonly argocd: ArgoInstallation | undefined;
  /** As they were at the end. */
  readonly applications: readonly Application[];
  /** The command that logs in to the VM. */
  readonly ssh: string;
  /** The command that opens the way to the cluster, where only the node reaches it. */
  readonly tunnel: string | undefined;
}

/** The whole way; what is already done is found and left alone. */
export class Deploy {
  readonly #request: DeployRequest;
  readonly #shell: NodeShell;
  readonly #api: ProxmoxApi;
  readonly cluster: ClusterSession;
  #made: { readonly outputs: EnvironmentOutputs; readonly vm: Vm } | undefined;
  #argocd: ArgoInstallation | undefined;
  #applications: readonly Application[] = [];

  constructor(request: DeployRequest) {
    const { settings } = request;
    this.#request = request;
    this.#shell = shellFrom(settings);
    this.#api = apiFrom(settings);
    this.cluster = clusterSession(settings, this.#shell, settings.ENV);
  }

  async steps(): Promise<Step[]> {
    const { settings, root, sandbox, image, allowReplace = [] } = this.#request;
    const { cluster } = this;
    const bootstrap = bootstrapDeps(cluster);
    const apply = applySteps(
      {
        ...(await environmentRequest(settings, { root, sandbox })),
        allowReplace,
        done: ({ outputs }) => {
          const parsed = parseOutputs(outputs, settings.ENV);
          this.#made = { outputs: parsed, vm: vmFrom(settings, this.#shell, this.#request, parsed) };
        },
      },
      applyDeps(settings),
    );
    const repository: ArgoRequest = {
      ...repositoryRequest(settings, root, sandbox?.dir),
      done: (applications) => {
        this.#applications = applications;
      },
    };
    const done = (installation: ArgoInstallation): void => {
      this.#argocd = installation;
    };
    const repositoryChecks = repositorySteps(repository, bootstrap);
    // The sandbox's repository is made with a tool's help; a person's own is looked at before anything takes time.
    const inSandbox = sandbox !== undefined;
    return [
      group("Check what was given", [...imageCheck(image), ...(inSandbox ? [] : repositoryChecks)]),
      { title: "Get the tools", run: async () => await this.#tools() },
      ...(inSandbox ? [group("Git repository", repositoryChecks)] : []),
      {
        title: `Template ${templateOf(settings)}`,
        preview: () => (image === undefined ? [] : previewsOf(this.#upload(image))),
        run: async ({ signal }) => await this.#template(signal),
      },
      group(`VMs of ${settings.ENV}`, apply),
      group(
        "Cluster",
        kubeconfigSteps(
          { vm: () => known(this.#made).vm, context: settings.ENV, kubeconfig: settings.KUBECONFIG },
          cluster,
        ),
      ),
      group("Argo CD", bootstrapSteps({ root, done }, bootstrap)),
      group("Applications", argoSteps(repository, bootstrap)),
    ];
  }

  /** Call once the steps have ended well. */
  async result(): Promise<Deployment> {
    const { settings } = this.#request;
    const { outputs, vm } = known(this.#made);
    const { locateTool } = await import("../lib/toolchain/index.ts");
    const kubectl = await locateTool("kubectl");
    return {
      vm: outputs,
      ssh: vm.login,
      template: templateOf(settings),
      kubeconfig: settings.KUBECONFIG,
      kubectl: kubectl === undefined || kubectl.source === "path" ? "kubectl" : kubectl.path,
      argocd: this.#argocd,
      applications: this.#applications,
      tunnel: await tunnelHint(settings, this.#shell, settings.ENV),
    };
  }

  async close(): Promise<void> {
    await this.cluster.close();
    await this.#shell.close();
    await this.#api.close();
  }

  async #tools(): Promise<Step[]> {
    const { locateTool, TOOL_GROUPS } = await import("../lib/toolchain/index.ts");
    const { toolSteps } = await import("./setup.ts");
    const { deploy, sandbox } = TOOL_GROUPS;
    const names = this.#request.sandbox === undefined ? deploy : [...deploy, ...sandbox];
    const found = await Promise.all(names.map((name) => locateTool(name)));
    return toolSteps(names.filter((_name, at) => found[at] === undefined));
  }

  async #template(signal: AbortSignal): Promise<Step[]> {
    const { settings, image } = this.#request;
    const name = templateOf(settings);
    const api = apiFrom(settings);
    const templates = (await listVms(api, signal).finally(() => api.close())).filter((vm) => vm.template);
    const template = templates.find((vm) => vm.name === name);
    if (template !== undefined) {
      // A run that was killed between the template and its end: the upload goes to its end, and finds the template.
      if (image !== undefined && (await this.#way().remains(name, signal))) return this.#upload(image);
      const reason = `VM ${template.vmid} on ${template.node}`;
      return [
        { title: "Upload the image", skip: () => `the template is there: ${reason}`, run: async () => {} },
      ];
    }
    if (image === undefined) {
      throw new TaskError({
        what: `There is no template ${name} on the node`,
        why: `The VMs are clones of it. The templates there are: ${templates.map((vm) => `${vm.name} (${vm.vmid} on ${vm.node})`).join(", ") || "none"}`,
        todo: [
          "Build it, which takes a while:",
          "$ npm run build-image",
          "Or give the image it is to be made of:",
          "$ npm run deploy -- --image FILE.qcow2",
          ...(templates.length === 0 ? [] : ["Or set IMAGE_VERSION to the name of one that is there"]),
          "If it is there, the token may not see it: it needs VM.Audit on /vms",
        ],
        left: ["Nothing was changed"],
      });
    }
    return this.#upload(image);
  }

  #way(): UploadWay {
    const { settings, via } = this.#request;
    return via === "api" ? new ApiWay(this.#api, settings.PM_NODE) : new SshWay(this.#shell);
  }

  #upload(image: string): Step[] {
    const { settings } = this.#request;
    return uploadSteps(
      {
        file: resolve(image),
        name: templateOf(settings),
        k3sVersion: settings.K3S_VERSION,
        storage: settings.PM_STORAGE,
        bridge: settings.PM_BRIDGE,
      },
      { way: this.#way() },
    );
  }
}

/** An image that cannot be used is told before anything takes time. */
function imageCheck(image: string | undefined): Step[] {
  if (image === undefined) return [];
  return [{ title: `Look at ${image}`, run: async () => void (await inspectQcow2(resolve(image))) }];
}

function group(title: string, steps: readonly Step[]): Step {
  return { title, run: async () => steps, preview: () => previewsOf(steps) };
}

function previewsOf(steps: readonly Step[]): string[] {
  return steps.flatMap((step) => step.preview?.() ?? []);
}

/** What a person does next, in the order they want to know. */
export function nextSteps(
  { vm, ssh, kubeconfig, kubectl, argocd, tunnel }: Deployment,
  simulated: boolean,
): string[] {
  const [forward, password] = argoLogin({ context: vm.context, kubeconfig });
  return [
    `VM          ${vm.name} (${vm.vmid} on ${vm.node}), ${vm.address}`,
    `  $ ${ssh}`,
    `Kubernetes  context ${vm.context} in ${kubeconfig}`,
    ...(tunnel === undefined
      ? []
      : [`  Only the node reaches it. Open the way in another terminal:`, `  $ ${tunnel}`]),
    `  $ ${kubectl} --kubeconfig=${kubeconfig} --context=${vm.context} get nodes`,
    `Argo CD     ${argocd?.version ?? ""} in the namespace argocd`,
    ...(simulated
      ? ["  Its web interface is simulated here: nothing answers there"]
      : [`  $ ${forward}   then https://localhost:8443, user admin, password from:`, `  $ ${password}`]),
  ];
}

/** Settings of the embedded node, for a command that has started it by itself. */
export async function settingsFrom(sources: readonly Source[]): Promise<DeploySettings> {
  return await loadSettings(ENVIRONMENT_REQUIRES, DEPLOY_USES, sources, keyDemand(sources));
}

const command = defineCommand({
  name: "deploy",
  summary: "The whole way: template, VMs, cluster, Argo CD, Applications; what is there already is kept",
  flags: {
    image: {
      type: "string",
      value: "FILE",
      about: "the qcow2 image to make the template of, where it is not on the node yet",
    },
    via: VIA_FLAG,
    "allow-replace": {
      type: "string",
      multiple: true,
      value: "NAME",
      about: "let the plan replace or destroy the VM of that name, with all that is on its disk",
    },
  },
  requires: ENVIRONMENT_REQUIRES,
  uses: DEPLOY_USES,
  demands: keyDemand,
  async run(context) {
    const { settings, root, sandbox, flags } = context;
    const deploy = new Deploy({
      settings,
      root,
      sandbox,
      image: flags.image,
      via: parseVia(flags.via),
      allowReplace: flags.allowReplace,
    });
    try {
      await alone(context, settings.ENV, async () => await context.steps(await deploy.steps()));
      const deployment = await deploy.result();
      context.result(nextSteps(deployment, sandbox !== undefined).join("\n"), { ...deployment });
    } finally {
      await deploy.close();
    }
  },
});

await main(import.meta.url, command);
