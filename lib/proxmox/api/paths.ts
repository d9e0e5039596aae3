/** Paths below /api2/json; each name arrives as it is, whatever it contains. */

export function nodePath(node: string): string {
  return `/nodes/${encodeURIComponent(node)}`;
}

/** A VM or a template. */
export function vmPath({ node, vmid }: { readonly node: string; readonly vmid: number }): string {
  return `${nodePath(node)}/qemu/${vmid}`;
}

/** What is on a storage. */
export function contentPath(node: string, storage: string): string {
  return `${nodePath(node)}/storage/${encodeURIComponent(storage)}/content`;
}

/** One volume; its id names the storage: "local:import/NAME.qcow2". */
export function volumePath(node: string, volid: string): string {
  const [storage = ""] = volid.split(":");
  return `${contentPath(node, storage)}/${encodeURIComponent(volid)}`;
}
