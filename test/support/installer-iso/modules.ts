import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";

/** What QEMU's virtio devices and a FAT file system need. */
export const MODULES = [
  "drivers/virtio/virtio*.ko",
  "drivers/net/virtio_net.ko",
  "drivers/net/net_failover.ko",
  "net/core/failover.ko",
  "drivers/block/virtio_blk.ko",
  "drivers/scsi/scsi_common.ko",
  "drivers/scsi/scsi_mod.ko",
  "drivers/scsi/virtio_scsi.ko",
  "drivers/scsi/sd_mod.ko",
  "fs/fat/fat.ko",
  "fs/fat/vfat.ko",
  "fs/nls/nls_cp437.ko",
  "fs/nls/nls_ascii.ko",
] as const;

const LOADED = [
  "virtio_pci",
  "virtio_net",
  "virtio_scsi",
  "virtio_blk",
  "sd_mod",
  "nls_cp437",
  "nls_ascii",
  "vfat",
];

/**
 * The modules to load, each after those it needs: without depmod's index insmod must be told the order.
 * @returns files
 */
export function inLoadingOrder(folder: string): string[] {
  const files = new Map<string, string>();
  for (const entry of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    if (entry.endsWith(".ko")) files.set(moduleName(entry), join(folder, entry));
  }
  const order: string[] = [];
  const add = (name: string): void => {
    const file = files.get(name);
    // What is not there is built into the kernel.
    if (file === undefined || order.includes(file)) return;
    for (const needed of needs(file)) add(needed);
    order.push(file);
  };
  for (const name of LOADED) add(name);
  return order;
}

function moduleName(file: string): string {
  return basename(file, ".ko").replaceAll("-", "_");
}

/** The names in a module's own `depends=`. */
function needs(file: string): string[] {
  const [, names = ""] = /\0depends=([^\0]*)\0/.exec(readFileSync(file, "latin1")) ?? [];
  return names.split(",").flatMap((name) => (name === "" ? [] : [name.replaceAll("-", "_")]));
}
