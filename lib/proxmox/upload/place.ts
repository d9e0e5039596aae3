import { parseVmid, type TemplatePlan } from "../qm.ts";

/** What the template is called, and where it goes on the node. */
export type TemplatePlace = Pick<TemplatePlan, "name" | "storage" | "bridge">;

/** Where the image lies on the node while it is imported; root's own, and not in memory as /tmp may be. */
export const UPLOAD_FOLDER = "/var/tmp";

/** What the commands are shown with before the VM has a number. */
export function previewPlan({ name, storage, bridge }: TemplatePlace): TemplatePlan {
  return {
    vmid: parseVmid(9000),
    name,
    storage,
    bridge,
    imagePath: `${UPLOAD_FOLDER}/${name}.qcow2`,
    notes: "",
  };
}

/** A path in one line: a file's name may hold line breaks. */
export function printable(path: string): string {
  return path.replace(/\p{Cc}/gu, (char) => JSON.stringify(char).slice(1, -1));
}
