/** Something that a machine may lack although the checks are strict. */
interface MayBeMissing {
  /** Its name in the findings. */
  readonly what: string;
  readonly reason: string;
}

/** What preflight --strict puts up with where it cannot be had; where it can, it is checked like everything else. */
export const MAY_BE_MISSING: readonly MayBeMissing[] = [
  {
    what: "packer-plugin-proxmox",
    reason: "it comes from HashiCorp's releases alone and cannot be built from the Go module proxy",
  },
  {
    what: "chart-phpipam",
    reason:
      "it comes from its publisher's own site alone; k8s-files.test.ts renders a stand-in with its values",
  },
];
