import { parseVmid, type TemplatePlan } from "../vm-maker.ts";

/** What the template is called, and where it goes on the node. */
export type TemplatePlace = Pick<TemplatePlan, "name" | "storage" | "bridge">;

/** Where images lie on the node while they are sent and imported: nobody but root may put anything there. */
export const UPLOAD_FOLDER = "/var/lib/homelab/uploads";

/**
 * Where the image of a name lies. The name tells its content: another image never goes on where this one has stopped.
 * @param sha256 of the image
 */
export function uploadPath(name: string, sha256: string): string {
  return `${UPLOAD_FOLDER}/${name}-${sha256.slice(0, 12)}.qcow2`;
}

/** What the commands are shown with before the VM has a number. */
export function previewPlan({ name, storage, bridge }: TemplatePlace): TemplatePlan {
  return {
    vmid: parseVmid(9000),
    name,
    storage,
    bridge,
    imagePath: "",
    notes: `Golden image ${name}, …`,
  };
}

/** A path in one line: a file's name may hold line breaks. */
export function printable(path: string): string {
  return path.replace(/\p{Cc}/gu, (char) => {
    const escaped = JSON.stringify(char).slice(1, -1);
    return escaped === char ? `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}` : escaped;
  });
}
