import { UsageError } from "./errors.ts";

/** CPU architectures for which k3s and AlmaLinux both have releases. */
export const ARCHITECTURES = ["amd64", "arm64"] as const;
export type Architecture = (typeof ARCHITECTURES)[number];

/** The parts of an image's name, as the specification's naming convention has them. */
export interface ImageName {
  /** AlmaLinux major version: 9. */
  readonly alma: number;
  readonly arch: Architecture;
  /** k3s version without build metadata: "v1.28.5". */
  readonly kubernetes: string;
  /** How often this combination was released: 1 for "v1". */
  readonly release: number;
}

/** What the name is made from; the k3s version carries its revision here ("v1.28.5+k3s1"). */
export interface ImageParts {
  readonly alma: number | string;
  readonly arch: string;
  readonly k3sVersion: string;
  readonly release: number | string;
}

const EXAMPLE = "alma9-k3-node-amd64-v1.28.5-v1";
const NAME =
  /^alma(?<alma>[1-9]\d?)-k3-node-(?<arch>[a-z0-9]+)-(?<k3s>v\d+\.\d+\.\d+)-v(?<release>[1-9]\d*)$/;
const K3S_VERSION =
  /^(?<version>v(?:0|[1-9]\d{0,3})(?:\.(?:0|[1-9]\d{0,3})){2})\+k3s(?<revision>[1-9]\d{0,3})$/;
/** A release is a counter; five digits keep every label of the name within a DNS label's 63 characters. */
const RELEASE = /^v?(?<number>[1-9]\d{0,4})$/;

/**
 * The template name of an image.
 * @param parts for example 9, "amd64", "v1.28.5+k3s1", "v1"
 * @returns for example "alma9-k3-node-amd64-v1.28.5-v1"
 * @throws {UsageError} when a part cannot be held by the format or by Proxmox
 */
export function formatImageName(parts: ImageParts): string {
  const alma = String(parts.alma);
  if (!/^[1-9]\d?$/.test(alma)) {
    throw refused("AlmaLinux version", alma, "a major version", "9");
  }
  const arch = parseArchitecture(parts.arch);
  const k3s = parseK3sVersion(parts.k3sVersion);
  const release = RELEASE.exec(String(parts.release))?.groups?.number;
  if (release === undefined) {
    throw refused("image release", String(parts.release), "a counter from v1 to v99999", "v1");
  }
  return `alma${alma}-k3-node-${arch}-${k3s.kubernetes}-v${release}`;
}

/**
 * Read an image's name.
 * @param name for example "alma9-k3-node-amd64-v1.28.5-v1"
 * @throws {UsageError} when it does not follow the convention
 */
export function parseImageName(name: string): ImageName {
  const groups = NAME.exec(name)?.groups;
  const release = RELEASE.exec(groups?.release ?? "")?.groups?.number;
  const k3s = K3S_VERSION.exec(`${groups?.k3s}+k3s1`)?.groups?.version;
  if (groups === undefined || release === undefined || k3s === undefined) {
    throw refused("image name", name, "alma{version}-k3-node-{arch}-{k3s-version}-v{release}", EXAMPLE);
  }
  return {
    alma: Number(groups.alma),
    arch: parseArchitecture(groups.arch ?? ""),
    kubernetes: k3s,
    release: Number(release),
  };
}

/** The same image name with the next release number that nobody has. */
export function nextFreeName(name: string, taken: readonly string[]): string {
  const { alma, arch, kubernetes, release } = parseImageName(name);
  for (let next = release + 1; ; next += 1) {
    const candidate = formatImageName({ alma, arch, k3sVersion: `${kubernetes}+k3s1`, release: `v${next}` });
    if (!taken.includes(candidate)) return candidate;
  }
}

/** Whether a VM or template of that name is one of our images. */
export function isImageName(name: string): boolean {
  try {
    parseImageName(name);
    return true;
  } catch {
    return false;
  }
}

/**
 * Read a k3s version.
 * @param text for example "v1.35.6+k3s1"
 * @throws {UsageError} for anything else
 */
export function parseK3sVersion(text: string): { kubernetes: string; revision: number } {
  const groups = K3S_VERSION.exec(text)?.groups;
  if (groups?.version === undefined) {
    throw refused(
      "k3s version",
      text,
      "a release in the form vMAJOR.MINOR.PATCH+k3sREVISION",
      "v1.35.6+k3s1",
    );
  }
  return { kubernetes: groups.version, revision: Number(groups.revision) };
}

/**
 * Read an architecture.
 * @throws {UsageError} when it is not one of `ARCHITECTURES`
 */
function parseArchitecture(text: string): Architecture {
  const arch = ARCHITECTURES.find((known) => known === text);
  if (arch === undefined) throw refused("architecture", text, ARCHITECTURES.join(" or "), "amd64");
  return arch;
}

function refused(what: string, value: string, form: string, example: string): UsageError {
  return new UsageError({
    what: `"${value}" is not a valid ${what}`,
    why: `It must be ${form}`,
    todo: [`Use for example ${example}`],
  });
}
