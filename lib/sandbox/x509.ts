import { createPrivateKey, webcrypto } from "node:crypto";
import { provideReflectMetadata } from "./reflect-metadata.ts";

/** A certificate and its private key, PEM. */
export interface Pair {
  readonly cert: string;
  readonly key: string;
}

export interface Subject {
  readonly commonName: string;
  readonly organization?: string;
}

/** What a certificate is for. */
export interface CertificateRequest {
  readonly subject: Subject;
  readonly usage: "server" | "client";
  readonly dns?: readonly string[];
  readonly ips?: readonly string[];
  /** Days until it ends; ten years when it is left out. */
  readonly days?: number;
  /** Days since it has been valid; one when it is left out, for guests and hosts whose clocks differ. */
  readonly since?: number;
}

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const DAY_MS = 24 * 3600 * 1000;
const TEN_YEARS = 3650;

/** A certificate authority of its own. */
export async function makeAuthority(subject: Subject, days = TEN_YEARS): Promise<Pair> {
  const x509 = await library();
  const keys = await makeKeys();
  const cert = await x509.X509CertificateGenerator.createSelfSigned({
    name: distinguishedName(subject),
    ...validFor(days),
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

/** A certificate signed by an authority. */
export async function issueCertificate(authority: Pair, request: CertificateRequest): Promise<Pair> {
  const x509 = await library();
  const keys = await makeKeys();
  const issuer = new x509.X509Certificate(authority.cert);
  const names = [
    ...(request.ips ?? []).map((value) => ({ type: "ip" as const, value })),
    ...(request.dns ?? []).map((value) => ({ type: "dns" as const, value })),
  ];
  const usage =
    request.usage === "server" ? x509.ExtendedKeyUsage.serverAuth : x509.ExtendedKeyUsage.clientAuth;
  const cert = await x509.X509CertificateGenerator.create({
    subject: distinguishedName(request.subject),
    issuer: issuer.subject,
    ...validFor(request.days ?? TEN_YEARS, request.since),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey: await importKey(authority.key),
    extensions: [
      new x509.BasicConstraintsExtension(false),
      new x509.ExtendedKeyUsageExtension([usage]),
      ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuer, false),
    ],
  });
  return { cert: `${cert.toString("pem")}\n`, key: await exportKey(keys.privateKey) };
}

function distinguishedName({ commonName, organization }: Subject): { [field: string]: string[] }[] {
  return [...(organization === undefined ? [] : [{ O: [organization] }]), { CN: [commonName] }];
}

/** Loaded only when a certificate has to be made: it is slow to load. */
async function library(): Promise<typeof import("@peculiar/x509")> {
  provideReflectMetadata();
  return await import("@peculiar/x509");
}

function validFor(days: number, since = 1): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  return { notBefore: new Date(now - since * DAY_MS), notAfter: new Date(now + days * DAY_MS) };
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
