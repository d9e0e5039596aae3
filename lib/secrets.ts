/** Values that must never be shown, kept for the life of the process. */
const secrets = new Set<string>();

/** Shorter values would blank out ordinary words. */
const SHORTEST_SECRET = 6;

/**
 * Remember a value so that `redact` removes it from whatever is shown from now on.
 * @param value the secret; ignored when it is missing or shorter than six characters
 */
export function registerSecret(value: string | undefined): void {
  if (value === undefined || value.length < SHORTEST_SECRET) return;
  secrets.add(value);
  secrets.add(encodeURIComponent(value));
  // As it stands inside of a JSON text.
  secrets.add(JSON.stringify(value).slice(1, -1));
  secrets.add(Buffer.from(value).toString("base64"));
}

/**
 * Replace every registered secret (also percent-, JSON- or base64-encoded) and anything that has the form of a
 * Proxmox API token or a private key.
 * @param text any text on its way to a person, a log or an error
 */
export function redact(text: string): string {
  let clean = text;
  for (const secret of secrets) clean = clean.replaceAll(secret, "***");
  return clean
    .replace(/(PVEAPIToken=[^\s!]+![\w.-]+=)[\w-]+/g, "$1***")
    .replace(
      /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----/g,
      "*** private key ***",
    );
}
