import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { SettingName, Settings, Source } from "../lib/config/index.ts";
import { demandFilled } from "../lib/demand-filled.ts";
import { formatImageName } from "../lib/image-name.ts";
import { runMark } from "../lib/run-mark.ts";
import type { Sandbox } from "../lib/sandbox/index.ts";
import { registerSecret } from "../lib/secrets.ts";
import { defineCommand, main, type Step, type StepControl } from "../lib/task/index.ts";
import {
  demandPassphrase,
  environmentDirectory,
  environmentPlaces,
  type StateProtection,
  stateProtection,
  TofuSession,
  untilOrphansEnd,
  type VariableValue,
  varFiles,
} from "../lib/tofu/index.ts";

/** The environment that OpenTofu is to work on. */
export interface EnvironmentRequest {
  /** The repository's folder. */
  readonly root: string;
  /** A folder of terraform/envs. */
  readonly environment: string;
  /** Where state and .terraform lie, when it is not the environment's folder. */
  readonly stateDir?: string;
  /** On the sandbox: the address of the embedded node's API, which is another one each time that it is started. */
  readonly embedded?: string;
  /** Where it is written down which runs have begun to make VMs and did not end well; left out, it is not. */
  readonly journal?: string;
  /** Values that beat those of globals.tfvars. */
  readonly variables: Readonly<Record<string, VariableValue>>;
  readonly secrets: Readonly<Record<string, string>>;
  /** Encrypts the state; without it the state is readable. */
  readonly passphrase?: string;
}

/** What the steps need from outside of OpenTofu. */
export interface EnvironmentDeps {
  /** Where tofu is, and the CLI configuration of the provider mirror; fetched or built when they are missing. */
  toolchain(control: StepControl): Promise<{ program: string; cliConfigFile: string }>;
  /** PEM of what the node's certificate is verified against, besides the system's authorities. */
  trusted?(): Promise<string | undefined>;
}

/** Settings that lead to an environment's variables. */
export const ENVIRONMENT_REQUIRES = [
  "PM_API_URL",
  "PM_API_TOKEN_ID",
  "PM_API_TOKEN_SECRET",
] as const satisfies readonly SettingName[];
export const ENVIRONMENT_USES = [
  "ENV",
  "PM_TLS_CA",
  "PM_TLS_FINGERPRINT",
  "PM_TLS_INSECURE",
  "PM_API_TIMEOUT",
  "PM_NODE",
  "PM_STORAGE",
  "PM_SNIPPET_STORAGE",
  "PM_BRIDGE",
  "CLUSTER_ACCESS",
  "SSH_PUBLIC_KEY_FILE",
  "ALMA_VERSION",
  "ARCH",
  "K3S_VERSION",
  "IMAGE_RELEASE",
  "IMAGE_VERSION",
  "TF_STATE_PASSPHRASE",
] as const satisfies readonly SettingName[];

/** What a plan cannot do without: the key, unless a file of variables holds it. */
export function keyDemand(sources: readonly Source[]): readonly "SSH_PUBLIC_KEY_FILE"[] {
  return sources.some(({ variables }) => variables?.has("ssh_pubkey")) ? [] : ["SSH_PUBLIC_KEY_FILE"];
}

export type EnvironmentSettings = Settings<
  (typeof ENVIRONMENT_REQUIRES)[number],
  (typeof ENVIRONMENT_USES)[number]
>;

/** The request that settings come to. */
export async function environmentRequest(
  settings: EnvironmentSettings,
  { root, sandbox }: { readonly root: string; readonly sandbox: Sandbox | undefined },
): Promise<EnvironmentRequest> {
  const keyFile = settings.SSH_PUBLIC_KEY_FILE;
  return {
    root,
    environment: settings.ENV,
    ...environmentPlaces(root, settings.ENV, sandbox?.dir),
    ...(sandbox === undefined ? {} : { embedded: settings.PM_API_URL.href }),
    variables: {
      pm_api_url: settings.PM_API_URL.href,
      pm_api_token_id: settings.PM_API_TOKEN_ID,
      pm_tls_insecure: settings.PM_TLS_INSECURE,
      node: settings.PM_NODE,
      storage: settings.PM_STORAGE,
      snippet_storage: settings.PM_SNIPPET_STORAGE,
      bridge: settings.PM_BRIDGE,
      template: templateOf(settings),
      run: runMark().id,
      ...(keyFile === undefined ? {} : { ssh_pubkey: (await readFile(keyFile, "utf8")).trim() }),
    },
    secrets: { pm_api_token_secret: settings.PM_API_TOKEN_SECRET },
    ...(settings.TF_STATE_PASSPHRASE === undefined ? {} : { passphrase: settings.TF_STATE_PASSPHRASE }),
  };
}

/** The template's name: IMAGE_VERSION, or what the settings of the image come to. */
export function templateOf(
  settings: Pick<
    EnvironmentSettings,
    "IMAGE_VERSION" | "ALMA_VERSION" | "ARCH" | "K3S_VERSION" | "IMAGE_RELEASE"
  >,
): string {
  return (
    settings.IMAGE_VERSION ??
    formatImageName({
      alma: settings.ALMA_VERSION,
      arch: settings.ARCH,
      k3sVersion: settings.K3S_VERSION,
      release: settings.IMAGE_RELEASE,
    })
  );
}

/**
 * Get OpenTofu, the provider and the environment's modules ready.
 * @param ready receives the session, for the steps that follow
 */
export function initSteps(
  request: EnvironmentRequest,
  deps: EnvironmentDeps,
  ready: (session: TofuSession) => void = (session) => session.close(),
): Step[] {
  const { root, environment } = request;
  let tools: { program: string; cliConfigFile: string };
  let { passphrase } = request;
  let protection: StateProtection;
  return [
    {
      title: "Find OpenTofu and the Proxmox provider",
      async run(control) {
        await environmentDirectory(root, environment);
        await demandFilled(root, {
          paths: [`terraform/envs/${environment}/`, "terraform/modules/", "terraform/globals.tfvars"],
          otherwise: `OpenTofu does not look at ${environment}`,
        });
        tools = await deps.toolchain(control);
      },
    },
    {
      title: "Look at how the state is protected",
      async run(control) {
        const directory = await environmentDirectory(root, environment);
        protection = await stateProtection(directory, request.stateDir);
        demandPassphrase(protection, passphrase);
        if (passphrase !== undefined || protection !== "none yet" || request.stateDir !== undefined) return;
        passphrase = await offerPassphrase(root, control);
        if (passphrase === undefined)
          control.note(
            "OpenTofu's state will be readable here: set TF_STATE_PASSPHRASE in .env to have it encrypted",
          );
      },
    },
    {
      title: `Initialise ${environment}`,
      preview: () => [`tofu -chdir=terraform/envs/${environment} init -upgrade`],
      async run({ signal, note }) {
        const state = request.stateDir ?? (await environmentDirectory(root, environment));
        await untilOrphansEnd(state, { signal, say: note, embedded: request.embedded });
        const session = new TofuSession(
          async () => {
            const trusted = await deps.trusted?.();
            return {
              ...tools,
              directory: await environmentDirectory(root, environment),
              ...(request.stateDir === undefined ? {} : { stateDir: request.stateDir }),
              varFiles: varFiles(root, environment),
              variables: request.variables,
              secrets: request.secrets,
              ...(passphrase === undefined ? {} : { passphrase }),
              ...(trusted === undefined ? {} : { trusted }),
              signal,
            };
          },
          protection === "readable" && passphrase !== undefined,
        );
        await (await session.tofu()).init();
        ready(session);
      },
    },
  ];
}

/** The first state of an environment can be encrypted from the beginning. */
async function offerPassphrase(root: string, { offer, note }: StepControl): Promise<string | undefined> {
  const question = "Encrypt OpenTofu's state? A passphrase is made and saved to .env";
  if (!(await offer(question))) return undefined;
  const { saveToDotenv } = await import("../lib/config/index.ts");
  const passphrase = randomBytes(24).toString("base64url");
  registerSecret(passphrase);
  await saveToDotenv(join(root, ".env"), { TF_STATE_PASSPHRASE: passphrase });
  note(
    "TF_STATE_PASSPHRASE is in .env now. Keep a copy in another place: without it nobody can read the state",
  );
  return passphrase;
}

/** OpenTofu from the toolchain, and the node's certificate as the settings pin it. */
export function environmentDeps(settings: EnvironmentSettings): EnvironmentDeps {
  return {
    async toolchain({ signal, output }) {
      const { ensureTool, providerMirror } = await import("../lib/toolchain/index.ts");
      const options = { signal, onProgress: output };
      const { path } = await ensureTool("tofu", options);
      const { cliConfigFile } = await providerMirror(options);
      return { program: path, cliConfigFile };
    },
    async trusted() {
      const { trustedPem } = await import("../lib/proxmox/index.ts");
      return await trustedPem(settings);
    },
  };
}

const command = defineCommand({
  name: "tf-init",
  summary: "Get OpenTofu ready for an environment: provider, modules, state",
  requires: ENVIRONMENT_REQUIRES,
  uses: ENVIRONMENT_USES,
  async run(context) {
    const request = await environmentRequest(context.settings, context);
    await context.steps(initSteps(request, environmentDeps(context.settings)));
    context.result(`${request.environment} is initialised`, { environment: request.environment });
  },
});

await main(import.meta.url, command);
