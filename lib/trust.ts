import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { rootCertificates } from "node:tls";

/** Where distributions keep their bundle of certificate authorities: Debian, Fedora and RHEL, openSUSE, Alpine. */
const SYSTEM_BUNDLES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

/**
 * A bundle of the authorities that are trusted anyway and of further certificates. Go programs read it from
 * SSL_CERT_FILE, which replaces the system's bundle: so that is in it too.
 * @param certificates PEM: a node's CA, or the very certificate it shows (Go trusts a leaf that is in the bundle)
 * @param inherited SSL_CERT_FILE of our own environment; ignored when there is no such file
 */
export async function trustBundle(
  certificates: string,
  inherited: string | undefined = process.env.SSL_CERT_FILE,
): Promise<string> {
  const file = [inherited, ...SYSTEM_BUNDLES].find((path) => path !== undefined && existsSync(path));
  const system = file === undefined ? rootCertificates.join("\n") : await readFile(file, "utf8");
  return `${system.trimEnd()}\n${certificates.trim()}\n`;
}
