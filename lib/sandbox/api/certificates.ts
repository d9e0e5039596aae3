import { createPrivateKey, X509Certificate } from "node:crypto";
import { join } from "node:path";
import { readIfThere, type World, writeFileAtomic } from "../world/index.ts";
import { type CertificateRequest, issueCertificate, makeAuthority, type Pair } from "../x509.ts";

/** What the HTTPS server needs; PEM. */
export interface ServerCertificate extends Pair {
  /** Of the CA, on the host. */
  readonly caFile: string;
}

const DAY_MS = 24 * 3600 * 1000;
const NODE_DAYS = 2 * 365;
/** A certificate with less than this left is made anew. */
const RENEW_DAYS = 30;
const ORGANIZATION = "Homelab sandbox";

/**
 * The node's certificate, signed by the cluster's own CA as on a real node. Both are kept where a real node has them
 * (/etc/pve/pve-root-ca.pem, /etc/pve/nodes/NODE/pve-ssl.pem); the CA stays the same for the life of the world.
 */
export async function nodeCertificate(world: World): Promise<ServerCertificate> {
  const node = world.files.toHost(`/etc/pve/nodes/${world.node}`);
  const { caFile, caKeyFile } = authorityFiles(world);
  const files = { cert: `${node}/pve-ssl.pem`, key: `${node}/pve-ssl.key` };

  const known = readPair(caFile, caKeyFile);
  const own = readPair(files.cert, files.key);
  if (known !== undefined && own !== undefined && isUsable(own, known)) return { ...own, caFile };

  const authority =
    known ?? (await makeAuthority({ commonName: `${ORGANIZATION} CA`, organization: ORGANIZATION }));
  if (known === undefined) {
    writeFileAtomic(caKeyFile, authority.key);
    writeFileAtomic(caFile, authority.cert, 0o644);
  }
  const issued = await issueCertificate(authority, { ...requestFor(world), days: NODE_DAYS });
  writeFileAtomic(files.key, issued.key);
  writeFileAtomic(files.cert, issued.cert, 0o644);
  return { ...issued, caFile };
}

/** A certificate that clients must not take: of the cluster's own CA but expired, or of a CA that nobody knows. */
export type FaultyCertificate = "expired" | "foreign";

/** Made once for a world: the library that makes certificates is slow to load. */
export async function faultyCertificate(world: World, what: FaultyCertificate): Promise<Pair> {
  const base = join(world.dir, "state", "certificates", what);
  const files = { cert: `${base}.pem`, key: `${base}.key` };
  const known = readPair(files.cert, files.key);
  if (known !== undefined) return known;
  const made = await makeFaulty(world, what);
  writeFileAtomic(files.key, made.key);
  writeFileAtomic(files.cert, made.cert);
  return made;
}

async function makeFaulty(world: World, what: FaultyCertificate): Promise<Pair> {
  if (what === "foreign") {
    const stranger = await makeAuthority({ commonName: "Stranger CA" });
    return await issueCertificate(stranger, requestFor(world));
  }
  const { caFile, caKeyFile } = authorityFiles(world);
  const authority = readPair(caFile, caKeyFile);
  if (authority === undefined) throw new Error("the node's certificate comes before its faults");
  return await issueCertificate(authority, { ...requestFor(world), since: 30, days: -1 });
}

function requestFor({ node }: World): CertificateRequest {
  return {
    subject: { commonName: node, organization: ORGANIZATION },
    usage: "server",
    ips: ["127.0.0.1", "::1"],
    dns: ["localhost", node],
  };
}

function authorityFiles({ files }: World): { readonly caFile: string; readonly caKeyFile: string } {
  return {
    caFile: files.toHost("/etc/pve/pve-root-ca.pem"),
    caKeyFile: files.toHost("/etc/pve/priv/pve-root-ca.key"),
  };
}

function readPair(certFile: string, keyFile: string): Pair | undefined {
  const cert = readIfThere(certFile);
  const key = readIfThere(keyFile);
  return cert === undefined || key === undefined ? undefined : { cert, key };
}

/** A crash between the two files may have left a key that does not fit. */
function isUsable({ cert, key }: Pair, ca: Pair): boolean {
  const parsed = new X509Certificate(cert);
  const left = Date.parse(parsed.validTo) - Date.now();
  const fits = parsed.checkPrivateKey(createPrivateKey(key));
  return fits && left > RENEW_DAYS * DAY_MS && parsed.verify(new X509Certificate(ca.cert).publicKey);
}
