/** Where a tool was taken from. */
export type ToolSource = "path" | "download" | "build" | "pip";

/** A tool that is there and can be used. */
export interface Tool {
  readonly name: ToolName;
  /** As its publisher writes it, without a leading v. */
  readonly version: string;
  /** The program, plugin or file. */
  readonly path: string;
  readonly source: ToolSource;
}

/** Everything the toolchain can get. */
export const TOOL_NAMES = [
  "tofu",
  "provider-proxmox",
  "kubectl",
  "kustomize",
  "helm",
  "argocd-manifests",
  "etcd",
  "kube-apiserver",
  "kube-controller-manager",
  "kube-scheduler",
  "kwok",
  "kubeconform",
  "kubernetes-api",
  "tflint",
  "shellcheck",
  "yamllint",
  "hadolint",
  "packer",
  "packer-plugin-qemu",
  "goss",
  "argocd",
  // The last: it alone cannot be built, and whoever gets everything should have had the others before that shows.
  "packer-plugin-proxmox",
] as const;
export type ToolName = (typeof TOOL_NAMES)[number];

/** What commands need, by what they do. */
export const TOOL_GROUPS = {
  deploy: ["tofu", "provider-proxmox", "kubectl", "kustomize", "helm", "argocd-manifests"],
  sandbox: ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"],
  /** What makes the sandbox's Argo CD sync: without it Applications are accepted, and nobody looks at them. */
  gitops: ["argocd"],
  lint: ["kubeconform", "kubernetes-api", "tflint", "shellcheck", "yamllint", "hadolint"],
  /** Proxmox's plugin stands apart: it is needed for building on a node alone, and cannot be built. */
  image: ["packer", "packer-plugin-qemu", "goss"],
  "image-proxmox": ["packer", "packer-plugin-proxmox", "goss"],
  /** What the tests of the correctness properties run. */
  properties: ["tofu", "provider-proxmox"],
  /** Everything that can be had on a machine that reaches no release. */
  test: TOOL_NAMES.filter((name) => name !== "packer-plugin-proxmox"),
} as const satisfies Record<string, readonly ToolName[]>;
export type ToolGroup = keyof typeof TOOL_GROUPS;

/** The machine tools are got for. */
export interface Platform {
  readonly os: "linux" | "darwin";
  readonly arch: "amd64" | "arm64";
}

/** A publisher's release of a tool. */
export interface Release {
  readonly url: string;
  /** The publisher's checksum file, or the sha256 itself where it is known. */
  readonly checksum: { readonly url: string } | { readonly sha256: string };
  /** The program inside, where the download is a .tar.gz or .zip; without it the download is the file itself. */
  readonly member?: string;
}

/** How a tool is built from the Go module proxy. */
export interface Build {
  readonly module: string;
  /** With its leading v. */
  readonly version: string;
  /** The package to build, or the file to take as it is. */
  readonly from: { readonly package: string } | { readonly file: string };
  /** Linker variables (`-X`) that make the program report its version. */
  readonly variables?: Readonly<Record<string, string>>;
  /**
   * Build from a go.mod of our own that requires the module, for those whose `replace` lines point into their own tree;
   * the listed prefix is replaced by this version.
   */
  readonly ownModule?: { readonly replace?: { readonly prefix: string; readonly version: string } };
  /** Seconds it took on two cores with cold caches, to tell people what to expect. */
  readonly coldSeconds: number;
}

/** How a tool is got from Python's package index. */
export interface PythonPackage {
  /** Each with its exact version, as pip takes them: all that is installed, nothing is added to them. */
  readonly packages: readonly string[];
  /** The program's name. */
  readonly program: string;
}

/** What the toolchain knows of a tool. */
export interface Recipe {
  readonly version: string;
  /** What it is for, for people. */
  readonly about: string;
  /** Its program's name on PATH, how it tells its version and which versions fit; without it PATH is not asked. */
  readonly onPath?: {
    readonly program: string;
    readonly args: readonly string[];
    readonly fits: (version: Version) => boolean;
    /** In words, for messages: "1.10 or newer". */
    readonly fitting: string;
  };
  /** For what runs in a guest, whatever this machine is. */
  readonly os?: Platform["os"];
  release(platform: Platform): Release | undefined;
  /** Left out for what the Go module proxy does not have. */
  readonly build?: Build;
  /** For what is published as a Python package. */
  readonly python?: PythonPackage;
}

/** A version as numbers. */
export interface Version {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
}

/**
 * The first version number in what a tool prints of itself.
 * @returns undefined for builds that do not know theirs, such as "(devel)"
 */
export function versionIn(text: string): Version | undefined {
  const match = /(?<![\d.])v?(\d+)\.(\d+)(?:\.(\d+))?/.exec(text);
  if (match === null) return undefined;
  const [, major, minor, patch = "0"] = match;
  return { major: Number(major), minor: Number(minor), patch: Number(patch) };
}

export function formatVersion({ major, minor, patch }: Version): string {
  return `${major}.${minor}.${patch}`;
}

/**
 * The platform this process runs on.
 * @throws {Error} where nothing can be got for it
 */
export function currentPlatform(): Platform {
  const os = process.platform;
  const arch = { x64: "amd64", arm64: "arm64" }[process.arch as string];
  if ((os !== "linux" && os !== "darwin") || (arch !== "amd64" && arch !== "arm64")) {
    throw new Error(
      `${process.platform} on ${process.arch} is not supported; use Linux, WSL2 or macOS on x86-64 or arm64`,
    );
  }
  return { os, arch };
}
