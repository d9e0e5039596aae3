import type { KubernetesClient } from "./api-client.ts";
import { localPath } from "./objects.ts";

/** What is read of a claim. */
interface Claim {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: {
    readonly accessModes?: readonly string[];
    readonly resources?: { readonly requests?: { readonly storage?: string } };
    readonly storageClassName?: string;
    readonly volumeName?: string;
  };
}

/** What is read of a volume. */
interface Volume {
  readonly metadata: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> };
  readonly status?: { readonly phase?: string };
}

const { metadata, provisioner } = localPath;
const SELECTED_NODE = "volume.kubernetes.io/selected-node";
const PROVISIONED_BY = "pv.kubernetes.io/provisioned-by";
const PERIOD_MS = 500;

/**
 * Plays k3s's local-path provisioner: a claim that a pod waits for gets its volume, a released volume goes. Without it
 * no pod with a claim would ever run. Nothing is stored: containers are simulated.
 */
export class LocalPathProvisioner {
  readonly #client: KubernetesClient;
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> = Promise.resolve();

  constructor(client: KubernetesClient) {
    this.#client = client;
  }

  start(): void {
    this.#timer = setTimeout(() => {
      // What fails now, because the API server is about to end for instance, is tried again.
      this.#round = this.#provide().catch(() => {});
      void this.#round.then(() => {
        if (this.#timer !== undefined) this.start();
      });
    }, PERIOD_MS);
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#round;
  }

  async #provide(): Promise<void> {
    for (const claim of await this.#client.list<Claim>("/api/v1/persistentvolumeclaims")) {
      const node = claim.metadata.annotations?.[SELECTED_NODE];
      const { storageClassName, volumeName } = claim.spec;
      if (storageClassName !== metadata.name || volumeName !== undefined || node === undefined) continue;
      const name = `pvc-${claim.metadata.uid}`;
      await this.#client.apply(`/api/v1/persistentvolumes/${name}`, volumeFor(claim, name, node));
    }
    for (const volume of await this.#client.list<Volume>("/api/v1/persistentvolumes")) {
      const ours = volume.metadata.annotations?.[PROVISIONED_BY] === provisioner;
      if (ours && volume.status?.phase === "Released") {
        await this.#client.remove(`/api/v1/persistentvolumes/${volume.metadata.name}`);
      }
    }
  }
}

function volumeFor(claim: Claim, name: string, node: string): Record<string, unknown> {
  const { namespace, uid } = claim.metadata;
  const { accessModes = ["ReadWriteOnce"], resources } = claim.spec;
  const claimRef = {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    namespace,
    name: claim.metadata.name,
    uid,
  };
  const path = `/var/lib/rancher/k3s/storage/${name}_${namespace}_${claim.metadata.name}`;
  const onNode = { key: "kubernetes.io/hostname", operator: "In", values: [node] };
  return {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name, annotations: { [PROVISIONED_BY]: provisioner } },
    spec: {
      accessModes,
      capacity: { storage: resources?.requests?.storage ?? "1Gi" },
      claimRef,
      hostPath: { path, type: "DirectoryOrCreate" },
      nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [onNode] }] } },
      persistentVolumeReclaimPolicy: "Delete",
      storageClassName: metadata.name,
      volumeMode: "Filesystem",
    },
  };
}
