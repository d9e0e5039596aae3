import { createPrivateKey, webcrypto, X509Certificate } from "node:crypto";
import { readIfThere, type World, writeFileAtomic } from "../world/index.ts";
import { provideReflectMetadata } from "./reflect-metadata.ts";

/** What the HTTPS server needs; PEM. */
export interface ServerCertificate {
  readonly key: string;
  readonly cert: string;
  /** Of the CA, on the host. */
  readonly caFile: string;
}

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const DAY_MS = 24 * 3600 * 1000;
const CA_DAYS = 10 * 365;
const NODE_DAYS = 2 * 365;
/** A certificate with less than this left is made anew. */
const RENEW_DAYS = 30;
const ORGANIZATION = "Homelab sandbox";

/**
 * The node's certificate, signed by the cluster's own CA as on a real node. Both are kept where a real node has them
 * (/etc/pve/pve-root-ca.pem, /etc/pve/nodes/NODE/pve-ssl.pem); the CA stays the same for the life of the world.
 */
export async function nodeCertificate(world: World): Promise<ServerCertificate> {
  const files = {
    caCert: world.files.toHost("/etc/pve/pve-root-ca.pem"),
    caKey: world.files.toHost("/etc/pve/priv/pve-root-ca.key"),
    cert: world.files.toHost(`/etc/pve/nodes/${world.node}/pve-ssl.pem`),
    key: world.files.toHost(`/etc/pve/nodes/${world.node}/pve-ssl.key`),
  };
  const ca = readPair(files.caCert, files.caKey);
  const own = readPair(files.cert, files.key);
  if (ca !== undefined && own !== undefined && isUsable(own.cert, ca.cert)) {
    return { ...own, caFile: files.caCert };
  }
  const issuer = ca ?? (await makeAuthority());
  const issued = await issue(issuer, world.node);
  if (ca === undefined) {
    writeFileAtomic(files.caKey, issuer.key);
    writeFileAtomic(files.caCert, issuer.cert, 0o644);
  }
  writeFileAtomic(files.key, issued.key);
  writeFileAtomic(files.cert, issued.cert, 0o644);
  return { ...issued, caFile: files.caCert };
}

interface Pair {
  readonly cert: string;
  readonly key: string;
}

function readPair(certFile: string, keyFile: string): Pair | undefined {
  const cert = readIfThere(certFile);
  const key = readIfThere(keyFile);
  return cert === undefined || key === undefined ? undefined : { cert, key };
}

function isUsable(cert: string, ca: string): boolean {
  const parsed = new X509Certificate(cert);
  const left = Date.parse(parsed.validTo) - Date.now();
  return left > RENEW_DAYS * DAY_MS && parsed.verify(new X509Certificate(ca).publicKey);
}

async function makeAuthority(): Promise<Pair> {
  const x509 = await library();
  const keys = await makeKeys();
  const cert = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${ORGANIZATION} CA, O=${ORGANIZATION}`,
    ...validFor(CA_DAYS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { cert: `${cert.toString("pem")}\n`, key: await exportKey(keys.privateKey) };
}

async function issue(ca: Pair, node: string): Promise<Pair> {
  const x509 = await library();
  const keys = await makeKeys();
  const authority = new x509.X509Certificate(ca.cert);
  const cert = await x509.X509CertificateGenerator.create({
    subject: `CN=${node}, O=${ORGANIZATION}`,
    issuer: authority.subject,
    ...validFor(NODE_DAYS),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey: await importKey(ca.key),
    extensions: [
      new x509.BasicConstraintsExtension(false),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension([
        { type: "ip", value: "127.0.0.1" },
        { type: "ip", value: "::1" },
        { type: "dns", value: "localhost" },
        { type: "dns", value: node },
      ]),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(authority, false),
    ],
  });
  return { cert: `${cert.toString("pem")}\n`, key: await exportKey(keys.privateKey) };
}

/** Loaded only when a certificate has to be made: it is slow to load. */
async function library(): Promise<typeof import("@peculiar/x509")> {
  provideReflectMetadata();
  return await import("@peculiar/x509");
}

function validFor(days: number): { notBefore: Date; notAfter: Date } {
  // A day back, for guests and hosts whose clocks differ.
  return { notBefore: new Date(Date.now() - DAY_MS), notAfter: new Date(Date.now() + days * DAY_MS) };
}

async function makeKeys(): Promise<webcrypto.CryptoKeyPair> {
  return await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = await webcrypto.subtle.exportKey("pkcs8", key);
  const object = createPrivateKey({ key: Buffer.from(der), format: "der", type: "pkcs8" });
  return object.export({ format: "pem", type: "pkcs8" }).toString();
}

async function importKey(pem: string): Promise<webcrypto.CryptoKey> {
  const der = createPrivateKey(pem).export({ format: "der", type: "pkcs8" });
  return await webcrypto.subtle.importKey("pkcs8", der, ALGORITHM, false, ["sign"]);
}
