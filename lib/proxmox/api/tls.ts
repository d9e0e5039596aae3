import { readFileSync } from "node:fs";
import { connect, type PeerCertificate, rootCertificates, type SecureContextOptions } from "node:tls";

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
  if (trust.caFile !== undefined) return { ca: [...rootCertificates, readFileSync(trust.caFile, "utf8")] };
  return {};
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
    const socket = connect({ host, port: Number(url.port || 443), rejectUnauthorized: false }, () => {
      const { raw, fingerprint256 } = socket.getPeerCertificate();
      const lines = raw.toString("base64").match(/.{1,64}/g) ?? [];
      socket.destroy();
      resolve({
        pem: `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`,
        fingerprint: fingerprint256,
      });
    });
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error("no answer")));
    socket.once("error", reject);
  });
}
