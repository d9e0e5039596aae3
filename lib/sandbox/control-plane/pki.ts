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
}

/** The names and addresses the API server's certificate is good for. */
export interface ServingNames {
  readonly hostname: string;
  readonly address: string;
}

/**
 * The cluster's certificates, made once as k3s makes them: an authority for servers, one for clients. The authorities
 * stay for the life of the cluster, so a kubeconfig handed out before stays good.
 */
export async function clusterPki(dir: string, names: ServingNames): Promise<ClusterPki> {
  const now = Math.floor(Date.now() / 1000);
  const serverCa = await kept(dir, "server-ca", () => makeAuthority({ commonName: `k3s-server-ca@${now}` }));
  const clientCa = await kept(dir, "client-ca", () => makeAuthority({ commonName: `k3s-client-ca@${now}` }));
  const client = (name: ClientName): Promise<Pair> =>
    kept(dir, `client-${name}`, () =>
      issueCertificate(clientCa, { subject: CLIENTS[name], usage: "client" }),
    );
  await kept(dir, `serving-${names.hostname}`, () =>
    issueCertificate(serverCa, {
      subject: { commonName: "k3s", organization: "k3s" },
      usage: "server",
      ips: ["127.0.0.1", names.address, "10.43.0.1"],
      dns: [
        "localhost",
        names.hostname,
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
      ],
    }),
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
    },
    files: {
      serverCa: join(dir, "server-ca.crt"),
      clientCa: join(dir, "client-ca.crt"),
      serving: {
        cert: join(dir, `serving-${names.hostname}.crt`),
        key: join(dir, `serving-${names.hostname}.key`),
      },
      serviceAccountKey,
    },
  };
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
