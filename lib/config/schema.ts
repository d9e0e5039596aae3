import { isIPv6 } from "node:net";
import { ARCHITECTURES, parseImageName, parseK3sVersion } from "../image-name.ts";
import { pins } from "../pins.ts";
import * as parse from "./parse.ts";

/** One setting: the single source of its validation, help, .env.example entry, prompt and mapping to the tools. */
export interface Setting<Value> {
  readonly group: string;
  /** What it is; it is shown behind "NAME: ". */
  readonly about: string;
  /** Where to get it. */
  readonly where?: string;
  readonly example: string;
  /** The default as it would be written; a setting without one is undefined until it is given. */
  readonly fallback?: string;
  readonly secret?: true;
  /** What a person who is asked most likely means, from what is known of the other settings. */
  suggest?(given: (name: string) => string | undefined): string | undefined;
  /** The flag that every command has for it. */
  readonly flag?: string;
  /** The OpenTofu variable that carries it, also its key in globals.tfvars. */
  readonly tfVar?: string;
  /** The Packer variable that carries it. */
  readonly pkrVar?: string;
  /** @throws {Error} whose message ends the sentence "NAME is not valid: …" */
  parse(text: string): Value;
}

/** Keeps the type of the value, and whether there is a default, while it checks the form. */
function setting<const Spec extends Setting<unknown>>(spec: Spec): Spec {
  return spec;
}

const PROXMOX = "Proxmox VE API";
const SSH = "SSH to the Proxmox node";
const PLACES = "Where things go on the node";
const CLUSTER = "The cluster";
const IMAGE = "The golden image";
const BUILD = "Building the golden image";
const GIT = "GitOps";
const STATE = "State";
const LOGS = "Looking for a fault";

const SETTINGS = {
  PM_API_URL: setting({
    group: PROXMOX,
    about: "address of the Proxmox API",
    where: "the address of the web interface, with /api2/json at the end",
    example: "https://10.23.45.10:8006/api2/json",
    suggest: (given) => {
      const host = given("PM_SSH_HOST");
      return host === undefined ? undefined : `https://${isIPv6(host) ? `[${host}]` : host}:8006/api2/json`;
    },
    tfVar: "pm_api_url",
    parse: parse.apiUrl,
  }),
  PM_API_TOKEN_ID: setting({
    group: PROXMOX,
    about: "API token's id",
    where: "Datacenter → Permissions → API Tokens in the web interface; npm run pve-init makes one",
    example: "homelab@pve!tasks",
    suggest: () => "homelab@pve!tasks",
    tfVar: "pm_api_token_id",
    parse: parse.tokenId,
  }),
  PM_API_TOKEN_SECRET: setting({
    group: PROXMOX,
    about: "API token's secret",
    where: "shown once, when the token is made; npm run pve-init saves it here",
    example: "00000000-0000-0000-0000-000000000000",
    secret: true,
    tfVar: "pm_api_token_secret",
    parse: parse.tokenSecret,
  }),
  PM_TLS_CA: setting({
    group: PROXMOX,
    about: "file with the CA that signed the node's certificate; use one of PM_TLS_CA, PM_TLS_FINGERPRINT",
    where: "copy /etc/pve/pve-root-ca.pem from the node",
    example: "~/pve-root-ca.pem",
    parse: parse.certificateFile,
  }),
  PM_TLS_FINGERPRINT: setting({
    group: PROXMOX,
    about: "SHA-256 fingerprint of the node's certificate, pinned instead of a CA",
    where: "node → System → Certificates in the web interface",
    example: Array.from({ length: 32 }, () => "AB").join(":"),
    parse: parse.fingerprint,
  }),
  PM_TLS_INSECURE: setting({
    group: PROXMOX,
    about: "do not verify the node's certificate at all; every run says so",
    example: "false",
    fallback: "false",
    parse: parse.flag,
  }),
  PM_API_TIMEOUT: setting({
    group: PROXMOX,
    about: "seconds that the tasks wait for an answer of the API before they give up",
    example: "120",
    fallback: "30",
    parse: parse.seconds,
  }),
  PM_NODE: setting({
    group: PROXMOX,
    about: "node on which VMs and templates are made",
    example: "pve",
    fallback: "pve",
    tfVar: "node",
    parse: parse.nodeName,
  }),
  PM_SSH_HOST: setting({
    group: SSH,
    about: "host name or address for SSH; the API's host when it is not set",
    example: "10.23.45.10",
    parse: parse.host,
  }),
  PM_SSH_USER: setting({
    group: SSH,
    about: "user for SSH; importing a disk needs root",
    example: "root",
    fallback: "root",
    parse: parse.userName,
  }),
  PM_SSH_PORT: setting({
    group: SSH,
    about: "port for SSH",
    example: "22",
    fallback: "22",
    parse: parse.port,
  }),
  PM_SSH_CONFIG: setting({
    group: SSH,
    about: "OpenSSH client configuration to use instead of ~/.ssh/config",
    example: "~/.ssh/homelab.config",
    parse: parse.existingFile,
  }),
  PM_STORAGE: setting({
    group: PLACES,
    about: "storage for VM disks",
    example: "local-lvm",
    fallback: "vmdata",
    tfVar: "storage",
    parse: parse.storageName,
  }),
  PM_ISO_STORAGE: setting({
    group: PLACES,
    about: "storage for ISO images and uploads on their way",
    example: "local",
    fallback: "local",
    parse: parse.storageName,
  }),
  PM_SNIPPET_STORAGE: setting({
    group: PLACES,
    about: "storage for cloud-init snippets",
    example: "local",
    fallback: "local",
    tfVar: "snippet_storage",
    parse: parse.storageName,
  }),
  PM_BRIDGE: setting({
    group: PLACES,
    about: "bridge the VMs are attached to",
    example: "vmbr0",
    fallback: "vmbr0",
    tfVar: "bridge",
    parse: parse.bridgeName,
  }),
  ENV: setting({
    group: CLUSTER,
    about: "environment, a folder of terraform/envs",
    example: "k3s-single",
    fallback: "k3s-single",
    flag: "--env",
    parse: parse.envName,
  }),
  CLUSTER_ACCESS: setting({
    group: CLUSTER,
    about: "how the VMs are reached: direct, or jump through the Proxmox node",
    example: "jump",
    fallback: "direct",
    parse: parse.oneOf("direct", "jump"),
  }),
  SSH_PUBLIC_KEY_FILE: setting({
    group: CLUSTER,
    about: "public key that may log in to the VMs; its private key must be in your agent or beside it",
    where: "ssh-keygen -t ed25519 makes one",
    example: "~/.ssh/id_ed25519.pub",
    parse: parse.existingFile,
  }),
  KUBECONFIG: setting({
    group: CLUSTER,
    about: "kubeconfig that the cluster's context is merged into",
    example: "~/.kube/config",
    fallback: "~/.kube/config",
    parse: parse.path,
  }),
  ALMA_VERSION: setting({
    group: IMAGE,
    about: "AlmaLinux major version",
    example: "9",
    fallback: pins.almaLinux.major,
    parse: parse.oneOf("9"),
  }),
  ARCH: setting({
    group: IMAGE,
    pkrVar: "arch",
    about: "CPU architecture of the image",
    example: "amd64",
    fallback: "amd64",
    parse: parse.oneOf(...ARCHITECTURES),
  }),
  K3S_VERSION: setting({
    group: IMAGE,
    pkrVar: "k3s_version",
    about: "k3s version inside the image",
    where: "https://github.com/k3s-io/k3s/releases",
    example: "v1.28.5+k3s1",
    fallback: pins.k3s.version,
    parse: (text: string) => {
      parseK3sVersion(text);
      return text;
    },
  }),
  IMAGE_RELEASE: setting({
    group: IMAGE,
    about: "how often this combination of versions was released",
    example: "v2",
    fallback: "v1",
    parse: (text: string) => {
      if (!/^v[1-9]\d{0,4}$/.test(text)) throw new Error("it must be v1, v2, …");
      return text;
    },
  }),
  IMAGE_VERSION: setting({
    group: IMAGE,
    about: "template's whole name; made of the four settings above when it is not set",
    example: "alma9-k3-node-amd64-v1.28.5-v1",
    tfVar: "template",
    pkrVar: "image_version",
    parse: (text: string) => {
      parseImageName(text);
      return text;
    },
  }),
  ALMA_ISO_URL: setting({
    group: BUILD,
    about: "address or path of the AlmaLinux 9 Minimal ISO; the newest release when it is not set",
    where: "https://almalinux.org/get-almalinux",
    example: "https://repo.almalinux.org/almalinux/9/isos/x86_64/AlmaLinux-9-latest-x86_64-minimal.iso",
    pkrVar: "alma_iso_url",
    parse: parse.fileOrUrl,
  }),
  ALMA_ISO_CHECKSUM: setting({
    group: BUILD,
    about: "sha256 of that ISO; taken from the publisher's CHECKSUM file when it is not set",
    where: "the CHECKSUM file beside the ISO",
    example: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    pkrVar: "alma_iso_checksum",
    parse: parse.sha256,
  }),
  FIRMWARE: setting({
    group: BUILD,
    about: "firmware of the build VM; the image starts with both",
    example: "uefi",
    fallback: "uefi",
    pkrVar: "firmware",
    parse: parse.oneOf("uefi", "bios"),
  }),
  IMAGE_AUTOMATIC_UPDATES: setting({
    group: BUILD,
    about: "whether the image's VMs install security updates by themselves",
    example: "true",
    fallback: "false",
    pkrVar: "automatic_updates",
    parse: parse.flag,
  }),
  IMAGE_OSCAP: setting({
    group: BUILD,
    about: "whether the OpenSCAP stub of hardening-oscap.sh runs; its header says how to extend it",
    example: "true",
    fallback: "false",
    pkrVar: "oscap",
    parse: parse.flag,
  }),
  KICKSTART_DELIVERY: setting({
    group: BUILD,
    about: "how the installer gets its kickstart: http from this machine, or cd where it cannot reach us",
    example: "cd",
    fallback: "http",
    pkrVar: "kickstart_delivery",
    parse: parse.oneOf("http", "cd"),
  }),
  BUILD_HTTP_ADDRESS: setting({
    group: BUILD,
    about: "address of this machine that the build VM calls back to; found out when it is not set",
    example: "10.23.45.5",
    pkrVar: "http_address",
    parse: parse.ipv4,
  }),
  BUILD_IP: setting({
    group: BUILD,
    about: "address of the build VM with its prefix length, or dhcp",
    example: "10.23.45.99/24",
    fallback: "dhcp",
    pkrVar: "build_ip",
    parse: parse.dhcpOrCidr,
  }),
  BUILD_GATEWAY: setting({
    group: BUILD,
    about: "gateway of the build VM, where BUILD_IP is an address",
    example: "10.23.45.1",
    pkrVar: "build_gateway",
    parse: parse.ipv4,
  }),
  BUILD_NAMESERVER: setting({
    group: BUILD,
    about: "DNS server of the build VM, where BUILD_IP is an address",
    example: "10.23.45.1",
    pkrVar: "build_nameserver",
    parse: parse.ipv4,
  }),
  GIT_REPO_URL: setting({
    group: GIT,
    about: "your fork of this repository, which Argo CD reads",
    example: "https://github.com/you/homelab.git",
    parse: parse.gitUrl,
  }),
  GIT_REVISION: setting({
    group: GIT,
    about: "branch, tag or commit that Argo CD follows",
    example: "main",
    fallback: "HEAD",
    parse: parse.gitRevision,
  }),
  TF_STATE_PASSPHRASE: setting({
    group: STATE,
    about: "passphrase that encrypts the OpenTofu state, 16 characters or more",
    example: "correct horse battery staple",
    secret: true,
    parse: parse.passphrase,
  }),
  TOOL_LOG: setting({
    group: LOGS,
    about:
      "log that OpenTofu and Packer keep of a run in .homelab/logs, without secrets: off, debug or trace",
    example: "debug",
    fallback: "off",
    parse: parse.oneOf("off", "debug", "trace"),
  }),
} as const;

export type SettingName = keyof typeof SETTINGS;

/** A setting's value once it is given or has a default. */
export type SettingValue<Name extends SettingName> = ReturnType<(typeof SETTINGS)[Name]["parse"]>;

/** The settings that always have a value. */
type Defaulted = {
  [Name in SettingName]: (typeof SETTINGS)[Name] extends { readonly fallback: string } ? Name : never;
}[SettingName];

/** The parsed settings of a task: those it requires and those with a default have a value, the others may not. */
export type Settings<Required extends SettingName = never, Optional extends SettingName = never> = {
  readonly [Name in Required | Optional]: Name extends Required | Defaulted
    ? SettingValue<Name>
    : SettingValue<Name> | undefined;
};

/** Settings that say the same in different ways: only one of them may be given. */
export const ALTERNATIVES = [["PM_TLS_CA", "PM_TLS_FINGERPRINT"]] as const satisfies readonly SettingName[][];

export const SETTING_NAMES = Object.keys(SETTINGS) as readonly SettingName[];

/** A setting without the type of its value, for what treats all of them alike. */
export function specOf(name: SettingName): Setting<unknown> {
  return SETTINGS[name];
}
