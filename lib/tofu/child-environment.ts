import { childEnv } from "../process.ts";
import { registerSecret } from "../secrets.ts";

/** What a child needs besides the inherited environment. */
export interface TofuEnvironment {
  /** CLI configuration with the provider mirror; the only one that counts, whatever the user's says. */
  readonly cliConfigFile: string;
  /** Secret values of variables by name; they exist in the child's environment alone. */
  readonly secrets?: Readonly<Record<string, string>>;
  /** How state and plans are encrypted, as `encryptionConfig` has it. */
  readonly encryption?: string;
  /** Bundle of trusted authorities. */
  readonly trustFile?: string;
  /** Instead of .terraform in the environment's folder. */
  readonly dataDir?: string;
  /**
   * A temporary folder of its own. The provider remembers there for ten seconds which VM number comes next, whatever node
   * it talks to: runs on a sandbox and on other nodes would shift each other's numbers.
   */
  readonly temporaryDir?: string;
}

/** How people prove who they are to an http backend: these have no other place but files. They name no other state. */
const BACKEND_CREDENTIALS = [
  "TF_HTTP_USERNAME",
  "TF_HTTP_PASSWORD",
  "TF_HTTP_CLIENT_CA_CERTIFICATE_PEM",
  "TF_HTTP_CLIENT_CERTIFICATE_PEM",
  "TF_HTTP_CLIENT_PRIVATE_KEY_PEM",
] as const;

/**
 * The environment for tofu and its providers: the inherited one without anything that steers them (TF_*, TOFU_*,
 * PROXMOX_VE_*), and what we set ourselves. The credentials of an http backend come through.
 */
export function tofuEnv(options: TofuEnvironment): NodeJS.ProcessEnv {
  const { cliConfigFile, secrets, encryption, trustFile, dataDir, temporaryDir } = options;
  const env = childEnv({
    TF_CLI_CONFIG_FILE: cliConfigFile,
    TF_IN_AUTOMATION: "1",
    TF_INPUT: "0",
    // A workspace that somebody selected here by hand would lead to another state.
    TF_WORKSPACE: "default",
    CHECKPOINT_DISABLE: "1",
    ...(dataDir === undefined ? {} : { TF_DATA_DIR: dataDir }),
    ...(temporaryDir === undefined ? {} : { TMPDIR: temporaryDir }),
    ...(trustFile === undefined ? {} : { SSL_CERT_FILE: trustFile }),
    ...(encryption === undefined ? {} : { TF_ENCRYPTION: encryption }),
  });
  // The provider takes each setting that its configuration leaves open from here.
  for (const name of Object.keys(env)) {
    if (name.startsWith("PROXMOX_VE_")) delete env[name];
  }
  for (const name of BACKEND_CREDENTIALS) {
    if (process.env[name] !== undefined) env[name] = process.env[name];
  }
  registerSecret(process.env.TF_HTTP_PASSWORD);
  for (const [name, value] of Object.entries(secrets ?? {})) env[`TF_VAR_${name}`] = value;
  return env;
}
