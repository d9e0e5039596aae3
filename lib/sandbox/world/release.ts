/** A major release of Proxmox VE that the node can be. */
export type PveRelease = 8 | 9;

/** What a node says of its version. */
export interface PveVersion {
  readonly version: string;
  readonly release: string;
  readonly repoid: string;
}

/** The versions that are stood in for: 9 is that of the recordings. */
export const PVE_VERSIONS: Readonly<Record<PveRelease, PveVersion>> = {
  8: { version: "8.4.1", release: "8.4", repoid: "2a5fa54a8503f96d" },
  9: { version: "9.2.11", release: "9.2", repoid: "14a22df35955d97d" },
};
