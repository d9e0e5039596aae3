/** Tokens' secrets are UUIDs: that of one which was made, and lost or removed again, is written down nowhere else. */
const UUID = /\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/gi;

/** No node would give it: documentation and advice show a token with it. */
const PLACEHOLDER = /^(.)\1{7}-/;

/**
 * Secrets that something has let out, a line for each.
 * @param secrets what nobody may ever see
 * @param places what a task has said, by where it did
 * @param harmless UUIDs that are no secrets
 */
export function leaks(
  secrets: readonly string[],
  places: Readonly<Record<string, string>>,
  harmless: ReadonlySet<string> = new Set(),
): string[] {
  return Object.entries(places).flatMap(([place, said]) => [
    ...secrets.filter((secret) => said.includes(secret)).map(() => `a secret stands in ${place}`),
    ...[...new Set(said.match(UUID) ?? [])]
      .filter((uuid) => !secrets.includes(uuid) && !harmless.has(uuid) && !PLACEHOLDER.test(uuid))
      // Not the whole: it may be a secret indeed.
      .map((uuid) => `what may be a token's secret stands in ${place}: ${uuid.slice(0, 4)}…`),
  ]);
}
