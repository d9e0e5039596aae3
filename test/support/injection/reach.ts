import type { SettingName } from "../../../lib/config/index.ts";

/** What a value can become part of; test/support/injection/sinks.ts has the real thing for each. */
export type SinkName =
  /** A word of a command on the node, put together by quoteWords, run by a real sh behind a real ssh. */
  | "remote word"
  /** A word of a command that is shown to be pasted. */
  | "pasted word"
  /** An argument of a child process. */
  | "argument"
  /** Host, user, port or configuration file of the ssh client. */
  | "ssh host"
  | "ssh user"
  | "ssh port"
  | "ssh configuration"
  /** A segment of a path of the API, a field of a form, the name of an uploaded file, the Authorization header. */
  | "API path"
  | "API form"
  | "API file name"
  /** The address of a k3s release. */
  | "release address"
  | "token id"
  | "token secret"
  /** OpenTofu's variables: settings.tfvars.json, and TF_VAR_*. */
  | "tofu variable"
  | "tofu secret"
  /** HCL that we write ourselves. */
  | "state encryption"
  /** PKR_VAR_*. */
  | "packer variable"
  /** Addresses in the installer's kickstart. */
  | "kickstart address"
  | "kickstart gateway"
  | "kickstart name server"
  /** YAML that we write. */
  | "repository address"
  | "repository revision"
  | "kubeconfig context"
  /** A segment of a path on this machine. */
  | "folder name"
  /** A file of this machine. */
  | "file";

/** Where a setting's value goes; a sentence where it goes nowhere. */
type Reach = readonly SinkName[] | string;

const HERE = "compared on this machine, and handed to nobody";

/** Where the value of each setting goes. What is missing here does not compile, and fails the test. */
export const REACH: Readonly<Record<SettingName, Reach>> = {
  PM_API_URL: ["tofu variable", "packer variable"],
  PM_API_TOKEN_ID: ["token id", "tofu variable", "packer variable", "remote word"],
  PM_API_TOKEN_SECRET: ["token secret", "tofu secret", "packer variable"],
  PM_TLS_CA: ["file"],
  PM_TLS_FINGERPRINT: HERE,
  PM_TLS_INSECURE: ["tofu variable", "packer variable"],
  PM_API_TIMEOUT: HERE,
  PM_NODE: ["API path", "tofu variable", "packer variable", "remote word"],
  PM_SSH_HOST: ["ssh host", "pasted word"],
  PM_SSH_USER: ["ssh user", "pasted word"],
  PM_SSH_PORT: ["ssh port", "pasted word"],
  PM_SSH_CONFIG: ["ssh configuration", "pasted word"],
  PM_STORAGE: ["remote word", "API path", "API form", "tofu variable", "packer variable"],
  PM_ISO_STORAGE: ["remote word", "API path", "packer variable"],
  PM_SNIPPET_STORAGE: ["tofu variable"],
  PM_BRIDGE: ["remote word", "API form", "tofu variable", "packer variable"],
  ENV: ["folder name", "argument", "kubeconfig context", "pasted word"],
  CLUSTER_ACCESS: HERE,
  SSH_PUBLIC_KEY_FILE: ["file"],
  KUBECONFIG: ["argument", "pasted word"],
  ALMA_VERSION: ["folder name"],
  ARCH: ["packer variable", "folder name"],
  K3S_VERSION: ["packer variable", "release address"],
  IMAGE_RELEASE: ["folder name"],
  IMAGE_VERSION: [
    ...(["remote word", "pasted word", "argument", "folder name"] as const),
    ...(["API form", "API file name", "tofu variable", "packer variable"] as const),
  ],
  ALMA_ISO_URL: ["packer variable", "argument"],
  ALMA_ISO_CHECKSUM: ["packer variable"],
  FIRMWARE: ["packer variable"],
  IMAGE_AUTOMATIC_UPDATES: ["packer variable"],
  IMAGE_OSCAP: ["packer variable"],
  KICKSTART_DELIVERY: ["packer variable"],
  BUILD_HTTP_ADDRESS: ["packer variable"],
  BUILD_IP: ["packer variable", "kickstart address"],
  BUILD_GATEWAY: ["packer variable", "kickstart gateway"],
  BUILD_NAMESERVER: ["packer variable", "kickstart name server"],
  GIT_REPO_URL: ["repository address", "argument", "pasted word"],
  GIT_REVISION: ["repository revision", "argument", "pasted word"],
  TF_STATE_PASSPHRASE: ["state encryption"],
  TOOL_LOG: HERE,
};
