import { parseVmid, type TemplatePlan } from "../qm.ts";

/** What is to become a template. */
export interface UploadRequest {
  /** The qcow2 image on this machine. */
  readonly file: string;
  /** The template's name: alma9-k3-node-amd64-v1.28.5-v1. */
  readonly name: string;
  /** With its revision; counts when it is the version in the name, which lacks the revision. */
  readonly k3sVersion?: string | undefined;
  readonly storage: string;
  readonly bridge: string;
}

/** Where the image lies on the node while it is imported; root's own, and not in memory as /tmp may be. */
export const FOLDER = "/var/tmp";

/** What the commands are shown with before the VM has a number. */
export function previewPlan({ name, storage, bridge }: UploadRequest): TemplatePlan {
  return { vmid: parseVmid(9000), name, storage, bridge, imagePath: `${FOLDER}/${name}.qcow2`, notes: "" };
}

/** A path in one line: a file's name may hold line breaks. */
export function printable(path: string): string {
  return path.replace(/\p{Cc}/gu, (char) => JSON.stringify(char).slice(1, -1));
}
