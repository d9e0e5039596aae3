import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** Whether a process runs; one that has ended and is not yet waited for does not. */
export function runs(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ");
  } catch {
    return false;
  }
}

/** Memory of a process in MiB. */
export function residentMiB(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}

/** The addresses on which a process listens, as the kernel lists them. */
export function listeners(pid: number): string[] {
  const sockets = readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? [];
    } catch {
      return [];
    }
  });
  return ["tcp", "tcp6"].flatMap((table) =>
    readFileSync(`/proc/${pid}/net/${table}`, "utf8")
      .split("\n")
      .map((row) => row.trim().split(/\s+/))
      .filter((row) => row[3] === "0A" && sockets.includes(row[9] ?? ""))
      .map(([, local = ""]) => addressIn(local.split(":")[0] ?? "")),
  );
}

/** An IPv4 address from the kernel's table, whose bytes stand in reverse; others stay as they are. */
function addressIn(hex: string): string {
  if (hex.length !== 8) return hex;
  return [6, 4, 2, 0].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)).join(".");
}
