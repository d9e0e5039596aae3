/** How qm shows what the API answers. The answers come from our own operations, so their form is known. */

type Fields = Readonly<Record<string, unknown>>;

/** "key: value" lines, sorted; the digest is the API's alone. */
export function configLines(data: unknown): string {
  return Object.entries(data as Fields)
    .filter(([key]) => key !== "digest")
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}: ${key === "description" ? encodeText(String(value)) : String(value)}\n`)
    .join("");
}

/** A description has several lines; it is shown in one. */
function encodeText(text: string): string {
  return text.trimEnd().replace(/[^ -~]|[:%]/gu, (char) => encodeURIComponent(char));
}

/** The table of all VMs. */
export function listTable(data: unknown): string {
  const head = row("VMID", "NAME", "STATUS", "MEM(MB)", "BOOTDISK(GB)", "PID");
  const rows = (data as readonly Fields[])
    .toSorted((a, b) => Number(a.vmid) - Number(b.vmid))
    .map((vm) =>
      row(
        String(vm.vmid),
        String(vm.name),
        String(vm.status),
        String(Number(vm.maxmem) / 1024 ** 2),
        (Number(vm.maxdisk) / 1024 ** 3).toFixed(2),
        String(vm.pid ?? 0),
      ),
    );
  return [head, ...rows].join("");
}

function row(vmid: string, name: string, status: string, memory: string, disk: string, pid: string): string {
  return `${vmid.padStart(10)} ${name.padEnd(20)} ${status.padEnd(10)} ${memory.padEnd(10)} ${disk.padStart(12)} ${pid.padEnd(10)}\n`;
}

/** "cur", "new" and "del" lines. */
export function pendingLines(data: unknown): string {
  return (data as readonly Fields[])
    .filter(({ key }) => key !== "digest")
    .toSorted((a, b) => (String(a.key) < String(b.key) ? -1 : 1))
    .map(({ key, value, pending, delete: deleted }) => {
      if (deleted) return `del ${String(key)}: ${String(value)}\n`;
      const current = value === undefined ? "" : `cur ${String(key)}: ${String(value)}\n`;
      return pending === undefined ? current : `${current}new ${String(key)}: ${String(pending)}\n`;
    })
    .join("");
}

/** What the API adds to a VM's state and qm does not show. */
const NOT_SHOWN = new Set(["agent", "clipboard", "cpu", "ha"]);

/** The state alone, or everything the node knows. */
export function statusLines(data: unknown, verbose: boolean): string {
  const status = data as Fields;
  if (!verbose) return `status: ${String(status.status)}\n`;
  return dump(status, "");
}

function dump(fields: Fields, indent: string): string {
  return Object.entries(fields)
    .filter(([key]) => !NOT_SHOWN.has(key))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) =>
      typeof value === "object" && value !== null
        ? `${indent}${key}:\n${dump(value as Fields, `${indent}\t`)}`
        : `${indent}${key}: ${String(value ?? "")}\n`,
    )
    .join("");
}
