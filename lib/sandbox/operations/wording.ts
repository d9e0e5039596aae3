/** Lines that the real node's tools print while they work on images. */

/** qemu-img's line when it makes an image. */
export function formattingLine(path: string, format: string, size: number): string {
  return format === "qcow2"
    ? `Formatting '${path}', fmt=qcow2 cluster_size=65536 extended_l2=off preallocation=metadata compression_type=zlib size=${size} lazy_refcounts=off refcount_bits=16`
    : `Formatting '${path}', fmt=${format} size=${size} preallocation=off`;
}

/** The same for an image on top of a base. */
export function linkedFormattingLine(
  path: string,
  size: number,
  backing: { readonly file: string; readonly format: string },
): string {
  const preallocation = backing.format === "raw" ? "off" : "metadata";
  return `Formatting '${path}', fmt=qcow2 cluster_size=131072 extended_l2=on preallocation=${preallocation} compression_type=zlib size=${size} backing_file=${backing.file} backing_fmt=${backing.format} lazy_refcounts=off refcount_bits=16`;
}

/**
 * Report a copy as the node does: a line at the start, one for each percent, one at the end.
 * @param total bytes that the guest will see
 * @returns to be called with the share that is done, 0 to 1
 */
export function transferReporter(total: number, log: (line: string) => void): (share: number) => void {
  let percent = 0;
  log(transferLine(0, total));
  return (share) => {
    const reached = Math.floor(share * 100);
    if (reached <= percent) return;
    percent = reached;
    log(transferLine(Math.round(total * share), total));
  };
}

function transferLine(done: number, total: number): string {
  const percent = total === 0 ? 100 : (done / total) * 100;
  return `transferred ${binarySize(done)} of ${binarySize(total)} (${percent.toFixed(2)}%)`;
}

function binarySize(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = bytes;
  let power = 0;
  while (size >= 1024 && power < units.length - 1) {
    size /= 1024;
    power += 1;
  }
  return `${size.toFixed(1)} ${units[power]}`;
}
