/** The parts of a task's unique id. */
export interface Upid {
  readonly node: string;
  readonly pid: number;
  readonly pstart: number;
  readonly starttime: number;
  readonly type: string;
  readonly id: string;
  /** User, or "USER!TOKEN". */
  readonly authId: string;
}

const UPID =
  /^UPID:(?<node>[a-zA-Z0-9][a-zA-Z0-9-]*):(?<pid>[0-9A-Fa-f]{8}):(?<pstart>[0-9A-Fa-f]{8,9}):(?<start>[0-9A-Fa-f]{8}):(?<type>[^:\s]+):(?<id>[^:\s]*):(?<authId>[^:\s]+):$/;

/** "UPID:pve:00000F8C:0005FD9C:6B0373DE:qmclone:9001:automation@pve!iac:" */
export function formatUpid(parts: Upid): string {
  const { node, pid, pstart, starttime, type, id, authId } = parts;
  return `UPID:${node}:${hex(pid)}:${hex(pstart)}:${hex(starttime)}:${type}:${id}:${authId}:`;
}

/** The parts of a UPID, or undefined for any other text. */
export function parseUpid(text: string): Upid | undefined {
  const groups = UPID.exec(text)?.groups;
  if (groups === undefined) return undefined;
  return {
    node: groups.node ?? "",
    pid: Number.parseInt(groups.pid ?? "", 16),
    pstart: Number.parseInt(groups.pstart ?? "", 16),
    starttime: Number.parseInt(groups.start ?? "", 16),
    type: groups.type ?? "",
    id: groups.id ?? "",
    authId: groups.authId ?? "",
  };
}

function hex(value: number): string {
  return value.toString(16).toUpperCase().padStart(8, "0");
}
