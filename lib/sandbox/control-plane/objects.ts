/** A machine of the cluster, as its kubelet would register it. */
export interface ClusterNode {
  readonly name: string;
  readonly address: string;
  /** For example "v1.35.6+k3s1". */
  readonly k3sVersion: string;
  readonly cores: number;
  /** MiB */
  readonly memory: number;
}

/** Of the nodes that carry it kwok says that they are ready. */
export const RUNNING = "kwok.x-k8s.io/node";

/** The Node object, with the labels and annotations that k3s gives a server; kwok reports it ready. */
export function nodeObject({
  name,
  address,
  k3sVersion,
  cores,
  memory,
}: ClusterNode): Record<string, unknown> {
  const capacity = { cpu: String(cores), memory: `${memory}Mi`, pods: "110", "ephemeral-storage": "32Gi" };
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name,
      labels: {
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "node-role.kubernetes.io/control-plane": "true",
        "node.kubernetes.io/instance-type": "k3s",
      },
      annotations: { "k3s.io/hostname": name, "k3s.io/internal-ip": address, [RUNNING]: "fake" },
    },
    spec: { podCIDR: "10.42.0.0/24", podCIDRs: ["10.42.0.0/24"], providerID: `k3s://${name}` },
    status: {
      addresses: [
        { type: "InternalIP", address },
        { type: "Hostname", address: name },
      ],
      allocatable: capacity,
      capacity,
      nodeInfo: {
        architecture: "amd64",
        bootID: "",
        containerRuntimeVersion: "containerd://simulated-by-kwok",
        kernelVersion: "",
        kubeProxyVersion: k3sVersion,
        kubeletVersion: k3sVersion,
        machineID: "",
        operatingSystem: "linux",
        osImage: "AlmaLinux 9 (simulated)",
        systemUUID: "",
      },
    },
  };
}

/** The storage class that k3s brings along. */
export const localPath = {
  apiVersion: "storage.k8s.io/v1",
  kind: "StorageClass",
  metadata: {
    name: "local-path",
    annotations: { "storageclass.kubernetes.io/is-default-class": "true" },
  },
  provisioner: "rancher.io/local-path",
  reclaimPolicy: "Delete",
  volumeBindingMode: "WaitForFirstConsumer",
};
