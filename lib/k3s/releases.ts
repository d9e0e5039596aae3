import { messageOf, UsageError } from "../errors.ts";
import { fetchText } from "../http.ts";
import { type Architecture, parseK3sVersion } from "../image-name.ts";
import { pins } from "../pins.ts";

/** Where k3s publishes its releases, and which of them are the newest of their line. @see https://docs.k3s.io/upgrades/manual */
const K3S_RELEASES = "https://github.com/k3s-io/k3s/releases/download";
const K3S_CHANNELS = "https://update.k3s.io/v1-release/channels";

export interface ReleaseOptions {
  readonly signal: AbortSignal;
  /** In place of the publisher's addresses. */
  readonly releases?: string;
  readonly channels?: string;
}

/** What could be found out about a release. */
export type ReleaseCheck = "released" | { readonly unknown: string };

/**
 * Check that a k3s version was released, for an architecture.
 * @returns why it could not be found out, where the publisher does not answer
 * @throws {UsageError} for one that was not, with the nearest that was
 */
export async function checkK3sRelease(
  version: string,
  arch: Architecture,
  { signal, releases = K3S_RELEASES, channels = K3S_CHANNELS }: ReleaseOptions,
): Promise<ReleaseCheck> {
  parseK3sVersion(version);
  const url = `${releases}/${encodeURIComponent(version)}/sha256sum-${arch}.txt`;
  try {
    await fetchText(url, { signal });
    return "released";
  } catch (error) {
    signal.throwIfAborted();
    if (!/ answered 404 /.test(messageOf(error))) return { unknown: messageOf(error) };
  }
  const known = await newestReleases(channels, signal);
  throw new UsageError({
    what: `There is no k3s release ${version} for ${arch}`,
    why: `${url} does not exist`,
    todo: [
      `The nearest known is ${nearest(version, known)}: K3S_VERSION=${nearest(version, known)}`,
      "All releases: https://github.com/k3s-io/k3s/releases (in the form v1.35.6+k3s1)",
    ],
  });
}

/** The newest release of each line, and the one that is pinned here. */
async function newestReleases(channels: string, signal: AbortSignal): Promise<string[]> {
  const text = await fetchText(channels, { signal }).catch(() => "");
  return [...new Set([pins.k3s.version, ...(text.match(/v\d+\.\d+\.\d+\+k3s\d+/g) ?? [])])];
}

/** The known version that is the fewest steps away: the same line first, then the line's neighbours. */
export function nearest(version: string, known: readonly string[]): string {
  const wanted = numbers(version);
  const distance = (other: string): number =>
    numbers(other).reduce((sum, number, at) => sum * 1000 + Math.abs(number - (wanted[at] ?? 0)), 0);
  return [...known].sort((a, b) => distance(a) - distance(b))[0] ?? pins.k3s.version;
}

function numbers(version: string): number[] {
  return (version.match(/\d+/g) ?? []).slice(0, 5).map(Number);
}
