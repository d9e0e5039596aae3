import { basename } from "node:path";
import type { Architecture } from "../image-name.ts";

/** An installer ISO: where it is, and what it has to be. */
export interface Iso {
  /** https address, or path on this machine. */
  readonly source: string;
  readonly fileName: string;
  /** 64 lower-case hexadecimal digits. */
  readonly sha256: string;
}

/** How AlmaLinux calls the architectures. */
const ARCHITECTURE: Readonly<Record<Architecture, string>> = { amd64: "x86_64", arm64: "aarch64" };

/** Where AlmaLinux publishes the ISOs of a major version. @see https://almalinux.org/get-almalinux */
export function isoFolder(major: number | string, arch: Architecture): string {
  return `https://repo.almalinux.org/almalinux/${major}/isos/${ARCHITECTURE[arch]}`;
}

/** The address under which the newest Minimal ISO always stands. */
export function latestIso(major: number | string, arch: Architecture): string {
  return `${isoFolder(major, arch)}/AlmaLinux-${major}-latest-${ARCHITECTURE[arch]}-minimal.iso`;
}

/** Checksums by file name, from lines such as "SHA256 (AlmaLinux-9.6-x86_64-minimal.iso) = 0123…" or "0123…  NAME". */
export function parseChecksums(text: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const [, bsdName, bsdHash] = /^SHA256 \((.+)\) = ([0-9a-f]{64})$/i.exec(line) ?? [];
    const [, hash, name] = /^([0-9a-f]{64}) [ *](.+)$/i.exec(line) ?? [];
    if (bsdName !== undefined && bsdHash !== undefined) found.set(bsdName, bsdHash.toLowerCase());
    else if (name !== undefined && hash !== undefined) found.set(basename(name), hash.toLowerCase());
  }
  return found;
}

/**
 * The newest Minimal ISO that a CHECKSUM file lists. A numbered one rather than "latest": it stays the same file.
 * @returns undefined when there is none
 */
export function newestMinimal(
  checksums: ReadonlyMap<string, string>,
  major: number | string,
  arch: Architecture,
): { fileName: string; sha256: string } | undefined {
  const form = new RegExp(`^AlmaLinux-${major}\\.(\\d+)(?:-(\\d{8}))?-${ARCHITECTURE[arch]}-minimal\\.iso$`);
  const candidates = [...checksums].flatMap(([fileName, sha256]) => {
    const [match, minor = "0", date = "0"] = form.exec(fileName) ?? [];
    return match === undefined ? [] : [{ fileName, sha256, rank: Number(minor) * 1e9 + Number(date) }];
  });
  const newest = candidates.sort((a, b) => b.rank - a.rank)[0];
  if (newest !== undefined) return { fileName: newest.fileName, sha256: newest.sha256 };
  const latest = `AlmaLinux-${major}-latest-${ARCHITECTURE[arch]}-minimal.iso`;
  const sha256 = checksums.get(latest);
  return sha256 === undefined ? undefined : { fileName: latest, sha256 };
}
