import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePorts } from "../../free-ports.ts";
import { writeFileAtomic } from "../world/index.ts";
import { KubernetesClient } from "./api-client.ts";
import { Component } from "./component.ts";
import { kubeconfigFor } from "./kubeconfig.ts";
import { LocalPathProvisioner } from "./local-path.ts";
import { type ClusterNode, localPath, nodeObject, RUNNING } from "./objects.ts";
import { type ClientName, type ClusterPki, clusterPki } from "./pki.ts";

/** The programs a control plane is made of. */
export const PROGRAMS = [
  "etcd",
  "kube-apiserver",
  "kube-controller-manager",
  "kube-scheduler",
  "kwok",
] as const;
export type Program = (typeof PROGRAMS)[number];
/** Where the programs lie. */
export type ProgramPaths = Readonly<Record<Program, string>>;

/** The way into a running cluster, for programs beside its control plane. */
export interface ClusterAccess {
  /** The administrator's. */
  readonly client: KubernetesClient;
  /** Write the kubeconfig of one of the cluster's clients; returns its file. */
  kubeconfigFile(name: ClientName): string;
}

const START_TIMEOUT_MS = 90_000;

/**
 * A real Kubernetes control plane on loopback. Its containers are simulated: kwok says that nodes and pods run. Its
 * data lie in one folder, so a restart goes on with the same cluster.
 */
export class ControlPlane {
  readonly #dir: string;
  readonly #programs: ProgramPaths;
  readonly #components: Readonly<Record<Program, Component>>;
  #pki: ClusterPki | undefined;
  #port: number | undefined;
  #client: KubernetesClient | undefined;
  #provisioner: LocalPathProvisioner | undefined;

  /** @param dir its folder: certificates, etcd's data, logs */
  constructor(dir: string, programs: ProgramPaths) {
    this.#dir = dir;
    this.#programs = programs;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    this.#components = {
      etcd: new Component("etcd", dir),
      "kube-apiserver": new Component("kube-apiserver", dir),
      "kube-controller-manager": new Component("kube-controller-manager", dir),
      "kube-scheduler": new Component("kube-scheduler", dir),
      kwok: new Component("kwok", dir),
    };
  }

  /** The API server's port on 127.0.0.1, once it is ready. */
  get port(): number | undefined {
    return this.#port;
  }

  /** The kubeconfig as k3s leaves it on the server, once it is ready. */
  get k3sKubeconfig(): string | undefined {
    if (this.#pki === undefined || this.#port === undefined) return undefined;
    return kubeconfigFor("https://127.0.0.1:6443", this.#pki.serverCa, this.#pki.clients.admin);
  }

  /** The way in for programs beside the control plane, once it is ready. */
  get access(): ClusterAccess | undefined {
    const [pki, port, client] = [this.#pki, this.#port, this.#client];
    if (pki === undefined || port === undefined || client === undefined) return undefined;
    return { client, kubeconfigFile: (name) => this.#kubeconfigFile(pki, port, name) };
  }

  /** End the programs that a killed sandbox has left running in a folder. */
  static async endLeftovers(dir: string): Promise<void> {
    for (const name of PROGRAMS) await new Component(name, dir).endLeftover();
  }

  /**
   * Start everything and wait until the node is registered.
   * @param node the first machine
   * @param members all machines of the cluster: the API server's certificate is good for them
   * @throws {Error} with the last lines of the program that failed
   */
  async start(node: ClusterNode, members: readonly ClusterNode[], signal: AbortSignal): Promise<void> {
    for (const name of PROGRAMS) await this.#components[name].endLeftover();
    signal.throwIfAborted();
    const pki = await clusterPki(join(this.#dir, "tls"));
    await pki.serveFor(members);
    const [etcdPort, peerPort, port] = (await freePorts(3)) as [number, number, number];
    await this.#startEtcd(etcdPort, peerPort);
    await this.#startApiServer(pki, port, etcdPort, node.address);
    const client = new KubernetesClient(port, pki.serverCa, pki.clients.admin);
    this.#client = client;
    await this.#untilReady(client, signal);
    await this.#startControllers(pki, port);
    await client.apply("/apis/storage.k8s.io/v1/storageclasses/local-path", localPath);
    this.#pki = pki;
    await this.join(node, members);
    this.#demandRunning(PROGRAMS);
    this.#provisioner = new LocalPathProvisioner(client);
    this.#provisioner.start();
    this.#port = port;
  }

  /**
   * Wait for the first program that ends without having been told to.
   * @returns which one, with its last lines; the promise stays open when all of them are ended in order
   */
  async death(): Promise<string> {
    const components = Object.values(this.#components);
    return await Promise.race(
      components.map(async (component) => {
        await component.died;
        return `${component.name} ended:\n${component.lastLines()}`;
      }),
    );
  }

  /** Register a further machine. */
  async join(node: ClusterNode, members: readonly ClusterNode[]): Promise<void> {
    await this.#pki?.serveFor(members);
    const { status, ...object } = nodeObject(node);
    // A new one takes its status with it, as a kubelet's does: kwok fills in at once what it lacks, also its own version.
    await this.#client?.apply(`/api/v1/nodes/${node.name}`, { ...object, status });
    await this.#client?.apply(`/api/v1/nodes/${node.name}/status`, {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name: node.name },
      status,
    });
  }

  /** A machine was switched off: nobody says any more that it is ready, and the cluster notices, as it does of a real one. */
  async leave({ name }: ClusterNode): Promise<void> {
    const metadata = { annotations: { [RUNNING]: null } };
    await this.#client?.merge(`/api/v1/nodes/${name}`, { metadata });
  }

  /**
   * End everything; the data stay.
   * @param signal SIGKILL after a failed start: an API server without etcd does not end in order
   */
  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    this.#port = undefined;
    await this.#provisioner?.stop();
    this.#client?.close();
    const { etcd, ...others } = this.#components;
    await Promise.all(Object.values(others).map((component) => component.stop(signal)));
    await etcd.stop(signal);
  }

  async #startEtcd(port: number, peerPort: number): Promise<void> {
    const peer = `http://127.0.0.1:${peerPort}`;
    const client = `http://127.0.0.1:${port}`;
    await this.#components.etcd.start(this.#programs.etcd, [
      "--name=default",
      `--data-dir=${join(this.#dir, "etcd")}`,
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=default=${peer}`,
      // A restart has another peer port; there is one member, whose data are its own.
      "--force-new-cluster",
      // What a power cut would lose is lost with the sandbox anyway.
      "--unsafe-no-fsync",
      "--log-level=warn",
    ]);
  }

  async #startApiServer(pki: ClusterPki, port: number, etcdPort: number, address: string): Promise<void> {
    const { files } = pki;
    await this.#components["kube-apiserver"].start(this.#programs["kube-apiserver"], [
      "--bind-address=127.0.0.1",
      `--secure-port=${port}`,
      `--advertise-address=${address}`,
      `--etcd-servers=http://127.0.0.1:${etcdPort}`,
      "--authorization-mode=Node,RBAC",
      `--client-ca-file=${files.clientCa}`,
      `--tls-cert-file=${files.serving.cert}`,
      `--tls-private-key-file=${files.serving.key}`,
      "--service-cluster-ip-range=10.43.0.0/16",
      "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
      `--service-account-key-file=${files.serviceAccountKey}`,
      `--service-account-signing-key-file=${files.serviceAccountKey}`,
      `--cert-dir=${join(this.#dir, "apiserver")}`,
      "--profiling=false",
    ]);
  }

  async #startControllers(pki: ClusterPki, port: number): Promise<void> {
    const kubeconfig = (name: ClientName): string => this.#kubeconfigFile(pki, port, name);
    await this.#components["kube-controller-manager"].start(this.#programs["kube-controller-manager"], [
      `--kubeconfig=${kubeconfig("controller-manager")}`,
      `--service-account-private-key-file=${pki.files.serviceAccountKey}`,
      `--root-ca-file=${pki.files.serverCa}`,
      // Each controller acts with its own, narrow role.
      "--use-service-account-credentials=true",
      "--leader-elect=false",
      "--secure-port=0",
    ]);
    await this.#components["kube-scheduler"].start(this.#programs["kube-scheduler"], [
      `--kubeconfig=${kubeconfig("scheduler")}`,
      "--leader-elect=false",
      "--secure-port=0",
    ]);
    await this.#components.kwok.start(this.#programs.kwok, [
      `--kubeconfig=${kubeconfig("kwok")}`,
      "--manage-all-nodes=false",
      `--manage-nodes-with-annotation-selector=${RUNNING}=fake`,
      "--cidr=10.42.0.0/16",
      // Without leases the node counts as lost every minute, and the pods on it never come back.
      "--node-lease-duration-seconds=40",
    ]);
  }

  #kubeconfigFile(pki: ClusterPki, port: number, name: ClientName): string {
    const file = join(this.#dir, `${name}.kubeconfig`);
    writeFileAtomic(file, kubeconfigFor(`https://127.0.0.1:${port}`, pki.serverCa, pki.clients[name]));
    return file;
  }

  async #untilReady(client: KubernetesClient, signal: AbortSignal): Promise<void> {
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (!(await client.ready())) {
      this.#demandRunning(["etcd", "kube-apiserver"]);
      if (Date.now() > deadline) {
        throw new Error(`the API server is not ready:\n${this.#components["kube-apiserver"].lastLines()}`);
      }
      await sleep(100, undefined, { signal });
    }
  }

  #demandRunning(names: readonly Program[]): void {
    for (const name of names) {
      const component = this.#components[name];
      if (!component.running) throw new Error(`${name} ended:\n${component.lastLines()}`);
    }
  }
}
