/** Options that a running VM takes over at once; network cards and disks on hot-pluggable buses besides. */
const AT_ONCE = new Set([
  "cicustom",
  "cipassword",
  "citype",
  "ciupgrade",
  "ciuser",
  "description",
  "hookscript",
  "lock",
  "name",
  "nameserver",
  "onboot",
  "protection",
  "searchdomain",
  "shares",
  "sshkeys",
  "startup",
  "tags",
  "vmstatestorage",
]);

/** Whether a change of an option reaches a running VM only with its next start. */
export function needsRestart(key: string): boolean {
  return !AT_ONCE.has(key) && !/^(?:ipconfig|net|scsi|unused|virtio)\d+$/.test(key);
}
