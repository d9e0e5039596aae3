import { NEEDS } from "./needs.ts";

/** A privilege that a node has missed, where it missed it. */
interface Refused {
  readonly privilege: string;
  readonly path: string;
}

/** Proxmox names path and privilege: "Permission check failed (/vms/150, VM.Config.CPU)". */
const NAMED = /Permission check failed \((\/[^,()]*), ([^()]+)\)/g;

/** Making and cloning a VM are refused without a reason where VM.Allocate is missing: measured on Proxmox VE 9.2. */
const UNNAMED = /Permission check failed(?! \(\/)/;
const MAKES_VM = /clon(e|ing)|creat(e|ing) VM|POST \/nodes\/[^/\s]+\/qemu(?![\w/])/i;

/**
 * What to do about refusals, whoever tells of them: our own client, OpenTofu or Packer.
 * @param text their words, with the call where that is known
 * @returns lines of advice that name each privilege and its path; none where nothing was refused
 */
export function privilegeAdvice(text: string): string[] {
  const named = [...text.matchAll(NAMED)].map(
    ([, path = "", privilege = ""]): Refused => ({
      path,
      privilege,
    }),
  );
  const refused =
    named.length === 0 && UNNAMED.test(text) && MAKES_VM.test(text)
      ? [{ path: "/vms", privilege: "VM.Allocate" }]
      : named;
  const lines = refused.map(({ path, privilege: alternatives }) => {
    // "A|B": either will do, and the first is the smaller one.
    const [privilege = ""] = alternatives.split("|");
    const purpose = NEEDS.find((need) => Object.values(need.privilege).includes(privilege))?.purpose;
    const given =
      "Datacenter → Permissions; a token with privilege separation needs it itself, and its user, too";
    return `Give the token ${privilege} on ${path} (${given})${purpose === undefined ? "" : `; it is for ${purpose}`}`;
  });
  if (lines.length > 0)
    return [...new Set(lines), "Or let the node be made ready anew:", "$ npm run pve-init"];
  return UNNAMED.test(text)
    ? ["The token may not do that; preflight names what it lacks:", "$ npm run preflight"]
    : [];
}
