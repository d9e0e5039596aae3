import { generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import { readIfThere, writeFileAtomic } from "../world/index.ts";
import { issueCertificate, makeAuthority, type Pair, type Subject } from "../x509.ts";

/** Who the control plane's programs and the administrator are to the API server. */
const CLIENTS = {
  admin: { commonName: "system:admin", organization: "system:masters" },
  "controller-manager": { commonName: "system:kube-controller-manager" },
  scheduler: { commonName: "system:kube-scheduler" },
  kwok: { commonName: "homelab:kwok", organization: "system:masters" },
  // As the service account that Argo CD's manifests give their rights to: what these lack, it lacks.
  "argocd-application-controller": {
    commonName: "system:serviceaccount:argocd:argocd-application-controller",
    organization: "system:serviceaccounts",
  },
} as const satisfies Record<string, Subject>;
export type ClientName = keyof typeof CLIENTS;

/** The files and keys of one cluster, all below one folder. */
export interface ClusterPki {
  readonly serverCa: Pair;
  readonly clientCa: Pair;
  readonly clients: Readonly<Record<ClientName, Pair>>;
  readonly files: {
    readonly serverCa: string;
    readonly clientCa: string;
    readonly serving: { readonly cert: string; readonly key: string };
    readonly serviceAccountKey: string;
  };
  /** Make the API server's certificate good for these machines; it takes a new one without a restart. */
  serveFor(names: readonly ServingNames[]): Promise<void>;
}

/** A machine under whose name and address the API server is reached. */
export interface ServingNames {
  readonly name: string;
  readonly address: string;
}

/**
 * The cluster's certificates, made once as k3s makes them: an authority for servers, one for clients. The authorities
 * stay for the life of the cluster, so a kubeconfig handed out before stays good.
 */
export async function clusterPki(dir: string): Promise<ClusterPki> {
  const now = Math.floor(Date.now() / 1000);
  const serverCa = await kept(dir, "server-ca", () => makeAuthority({ commonName: `k3s-server-ca@${now}` }));
  const clientCa = await kept(dir, "client-ca", () => makeAuthority({ commonName: `k3s-client-ca@${now}` }));
  const client = (name: ClientName): Promise<Pair> =>
    kept(dir, `client-${name}`, () =>
      issueCertificate(clientCa, { subject: CLIENTS[name], usage: "client" }),
    );
  const serviceAccountKey = join(dir, "service.key");
  if (readIfThere(serviceAccountKey) === undefined) writeFileAtomic(serviceAccountKey, signingKey());
  return {
    serverCa,
    clientCa,
    clients: {
      admin: await client("admin"),
      "controller-manager": await client("controller-manager"),
      scheduler: await client("scheduler"),
      kwok: await client("kwok"),
      "argocd-application-controller": await client("argocd-application-controller"),
    },
    files: {
      serverCa: join(dir, "server-ca.crt"),
      clientCa: join(dir, "client-ca.crt"),
      serving: { cert: join(dir, "serving.crt"), key: join(dir, "serving.key") },
      serviceAccountKey,
    },
    serveFor: async (names) => await issueServing(dir, serverCa, names),
  };
}

/** The names that the API server has on every machine and inside the cluster. */
const COMMON_NAMES = [
  "localhost",
  "kubernetes",
  "kubernetes.default",
  "kubernetes.default.svc",
  "kubernetes.default.svc.cluster.local",
];

async function issueServing(dir: string, serverCa: Pair, names: readonly ServingNames[]): Promise<void> {
  const ips = ["127.0.0.1", "10.43.0.1", ...names.map(({ address }) => address)];
  const dns = [...COMMON_NAMES, ...names.map(({ name }) => name)];
  const issuedFor = join(dir, "serving.names");
  const wanted = [...ips, ...dns].sort().join("\n");
  if (readIfThere(issuedFor) === wanted) return;
  const subject = { commonName: "k3s", organization: "k3s" };
  const pair = await issueCertificate(serverCa, { subject, usage: "server", ips, dns });
  writeFileAtomic(join(dir, "serving.key"), pair.key);
  writeFileAtomic(join(dir, "serving.crt"), pair.cert);
  writeFileAtomic(issuedFor, wanted);
}

async function kept(dir: string, name: string, make: () => Promise<Pair>): Promise<Pair> {
  const files = { cert: join(dir, `${name}.crt`), key: join(dir, `${name}.key`) };
  const cert = readIfThere(files.cert);
  const key = readIfThere(files.key);
  if (cert !== undefined && key !== undefined) return { cert, key };
  const pair = await make();
  writeFileAtomic(files.key, pair.key);
  writeFileAtomic(files.cert, pair.cert);
  return pair;
}

function signingKey(): string {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return privateKey.export({ type: "sec1", format: "pem" }).toString();
}
