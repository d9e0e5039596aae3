import { createPrivateKey, X509Certificate } from "node:crypto";
import { readIfThere, type World, writeFileAtomic } from "../world/index.ts";
import { issueCertificate, makeAuthority, type Pair } from "../x509.ts";

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
  const caFile = world.files.toHost("/etc/pve/pve-root-ca.pem");
  const caKeyFile = world.files.toHost("/etc/pve/priv/pve-root-ca.key");
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
  const issued = await issueCertificate(authority, {
    subject: { commonName: world.node, organization: ORGANIZATION },
    usage: "server",
    ips: ["127.0.0.1", "::1"],
    dns: ["localhost", world.node],
    days: NODE_DAYS,
  });
  writeFileAtomic(files.key, issued.key);
  writeFileAtomic(files.cert, issued.cert, 0o644);
  return { ...issued, caFile };
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
