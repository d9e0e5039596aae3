import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { connect, type PeerCertificate, rootCertificates, type SecureContextOptions } from "node:tls";
import { messageOf } from "../../errors.ts";

/** How the node's certificate is verified. */
export interface TlsTrust {
  /** PEM file with the CA that signed it; trusted besides the system's. */
  readonly caFile?: string | undefined;
  /** SHA-256 fingerprint of the very certificate: "AB:CD:…". */
  readonly fingerprint?: string | undefined;
  /** Do not verify at all. */
  readonly insecure?: boolean | undefined;
}

/** Options for a TLS connection that keeps to the trust. */
export type TlsOptions = SecureContextOptions & {
  readonly rejectUnauthorized?: boolean;
  readonly allowPartialTrustChain?: boolean;
  readonly checkServerIdentity?: (host: string, certificate: PeerCertificate) => Error | undefined;
};

/** The certificate is not the pinned one. */
export class FingerprintError extends Error {
  override readonly name = "FingerprintError";
  readonly seen: string;

  constructor(seen: string) {
    super("the certificate has another fingerprint than the pinned one");
    this.seen = seen;
  }
}

/** The file with the CA is of no use. */
export class CaFileError extends Error {
  override readonly name = "CaFileError";
}

/**
 * The TLS options for a node.
 * @param trust how its certificate is verified
 * @throws {FingerprintError} when the certificate it shows is not the pinned one; nothing was sent then
 */
export async function tlsOptions(url: URL, trust: TlsTrust): Promise<TlsOptions> {
  if (trust.insecure) return { rejectUnauthorized: false };
  if (trust.fingerprint !== undefined) {
    const { fingerprint } = trust;
    const shown = await shownCertificate(url);
    if (shown.fingerprint !== fingerprint) throw new FingerprintError(shown.fingerprint);
    return {
      // The certificate itself is the anchor: it verifies without the CA that signed it, whatever names it carries.
      ca: shown.pem,
      allowPartialTrustChain: true,
      checkServerIdentity: (_host, { fingerprint256 }) =>
        fingerprint256 === fingerprint ? undefined : new FingerprintError(fingerprint256),
    };
  }
  if (trust.caFile !== undefined) return { ca: [...rootCertificates, authorityIn(trust.caFile)] };
  return {};
}

function authorityIn(file: string): string {
  try {
    const pem = readFileSync(file, "utf8");
    // Node.js takes a text without any sound certificate in it, and then trusts nobody.
    if (!pem.includes("-----BEGIN CERTIFICATE-----")) throw new Error("it holds no PEM certificate");
    new X509Certificate(pem);
    return pem;
  } catch (error) {
    throw new CaFileError(`The CA file ${file} cannot be used: ${messageOf(error)}`, { cause: error });
  }
}

/**
 * Shake hands with a server as the trust wants it; nothing else is sent.
 * @throws {Error} as TLS does, {FingerprintError} or {CaFileError}
 */
export async function shakeHands(url: URL, trust: TlsTrust, timeoutMs: number): Promise<void> {
  const options = await tlsOptions(url, trust);
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const name = isIP(host) === 0 ? { servername: host } : {};
  await new Promise<void>((resolve, reject) => {
    const socket = connect({ host, port: Number(url.port || 443), ...name, ...options }, () => {
      socket.destroy();
      resolve();
    });
    socket.setTimeout(timeoutMs, () =>
      socket.destroy(Object.assign(new Error("no answer"), { code: "ETIMEDOUT" })),
    );
    socket.once("error", reject);
  });
}

/** A certificate as a server shows it. */
export interface ShownCertificate {
  readonly pem: string;
  readonly fingerprint: string;
}

/** Ask a server for its certificate without trusting it: nothing but the handshake is sent. */
export async function shownCertificate(url: URL, timeoutMs = 10_000): Promise<ShownCertificate> {
  return await new Promise((resolve, reject) => {
    const host = url.hostname.replace(/^\[|\]$/g, "");
    const name = isIP(host) === 0 ? { servername: host } : {};
    const port = Number(url.port || 443);
    const socket = connect({ host, port, ...name, rejectUnauthorized: false }, () => {
      const { raw, fingerprint256 } = socket.getPeerCertificate();
      const lines = raw.toString("base64").match(/.{1,64}/g) ?? [];
      socket.destroy();
      resolve({
        pem: `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`,
        fingerprint: fingerprint256,
      });
    });
    socket.setTimeout(timeoutMs, () =>
      socket.destroy(Object.assign(new Error("no answer"), { code: "ETIMEDOUT" })),
    );
    socket.once("error", reject);
  });
}
