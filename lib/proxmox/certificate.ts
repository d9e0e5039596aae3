import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { connect } from "node:tls";
import { type TlsTrust, tlsOptions } from "./api/tls.ts";

/** What is wrong with a certificate, so that a connection would be refused. */
export type CertificateFlaw =
  /** Nobody we trust has signed it. */
  | "unknown"
  /** It is not the pinned one. */
  | "other"
  | "expired"
  | "early"
  /** It is for other names than the one in the address. */
  | "names"
  | "invalid";

/** The certificate that a node shows. */
export interface NodeCertificate {
  readonly pem: string;
  /** "CN=pve.lan, O=…" */
  readonly subject: string;
  readonly issuer: string;
  /** "pve.lan, 10.23.45.10" */
  readonly names: string;
  readonly validFrom: Date;
  readonly validTo: Date;
  /** SHA-256: "AB:CD:…". */
  readonly fingerprint: string;
  /** What it was verified against; a connection that is not to be verified has none. */
  readonly trust: "fingerprint" | "ca" | "system" | "none";
  readonly flaw: CertificateFlaw | undefined;
  /** The flaw in OpenSSL's words. */
  readonly words: string;
}

/**
 * Look at the certificate of a node, trusted or not; nothing but the handshake is sent.
 * @param timeoutMs milliseconds to wait for it
 * @throws {Error} as the network does, {CaFileError}
 */
export async function nodeCertificate(
  url: URL,
  trust: TlsTrust,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<NodeCertificate> {
  const { fingerprint, caFile, insecure } = trust;
  const verify = fingerprint === undefined && !insecure;
  const options = verify ? await tlsOptions(url, { caFile }) : {};
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const name = isIP(host) === 0 ? { servername: host } : {};
  const { raw, code } = await new Promise<{ raw: Buffer; code: string }>((resolve, reject) => {
    const address = { host, port: Number(url.port || 443), ...name };
    const socket = connect({ ...address, ...options, rejectUnauthorized: false }, () => {
      const { raw } = socket.getPeerCertificate();
      // Its type says Error; it is that one's code.
      const code = socket.authorized ? "" : String(socket.authorizationError);
      socket.destroy();
      resolve({ raw, code });
    });
    const end = (): void => void socket.destroy(new Error("interrupted"));
    signal?.addEventListener("abort", end, { once: true });
    socket.once("close", () => signal?.removeEventListener("abort", end));
    socket.setTimeout(timeoutMs, () =>
      socket.destroy(Object.assign(new Error("no answer"), { code: "ETIMEDOUT" })),
    );
    socket.once("error", reject);
  });
  const certificate = new X509Certificate(raw);
  const seen = {
    pem: certificate.toString(),
    subject: oneLine(certificate.subject),
    issuer: oneLine(certificate.issuer),
    names: (certificate.subjectAltName ?? "").replaceAll(/(?:DNS|IP Address):/g, ""),
    validFrom: new Date(certificate.validFrom),
    validTo: new Date(certificate.validTo),
    fingerprint: certificate.fingerprint256,
  };
  if (insecure) return { ...seen, trust: "none", flaw: undefined, words: "" };
  if (fingerprint === undefined) {
    return { ...seen, trust: caFile === undefined ? "system" : "ca", flaw: flawOf(code), words: code };
  }
  const now = Date.now();
  // What is pinned has to be valid all the same: TLS asks for it.
  const flaw =
    seen.fingerprint !== fingerprint
      ? "other"
      : seen.validTo.getTime() < now
        ? "expired"
        : seen.validFrom.getTime() > now
          ? "early"
          : undefined;
  return { ...seen, trust: "fingerprint", flaw, words: flaw ?? "" };
}

function flawOf(code: string): CertificateFlaw | undefined {
  if (code === "") return undefined;
  if (code === "CERT_HAS_EXPIRED") return "expired";
  if (code === "CERT_NOT_YET_VALID") return "early";
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") return "names";
  return /SELF_SIGNED|UNABLE_TO/.test(code) ? "unknown" : "invalid";
}

/** The most telling part comes last in a name, as X.509 has it. */
function oneLine(name: string): string {
  return name.split("\n").reverse().join(", ");
}
