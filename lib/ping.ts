import { isIPv4 } from "node:net";
import { run } from "./process.ts";

/**
 * Which of these addresses answer an echo request within a second. An address that does not answer may still be taken
 * (by a machine that is off, or behind a firewall); one that answers is.
 * @param addresses IPv4 addresses; anything else is left out
 * @returns undefined when there is no `ping` on this machine
 */
export async function answering(
  addresses: readonly string[],
  signal?: AbortSignal,
): Promise<Set<string> | undefined> {
  const found = new Set<string>();
  let missing = false;
  await Promise.all(
    addresses.filter(isIPv4).map(async (address) => {
      const { exitCode, stderr } = await run("ping", ["-n", "-c", "1", "-W", "1", address], {
        allow: [0, 1, 2, 68, 126, 127],
        timeoutMs: 5000,
        ...(signal === undefined ? {} : { signal }),
      });
      if (exitCode === 0) found.add(address);
      else if (exitCode !== 1) missing ||= /not found|permitted/i.test(stderr);
    }),
  );
  return missing ? undefined : found;
}
