/** Members whose values differ from run to run and from machine to machine; their types do not. */
const VOLATILE = new Set([
  "avail",
  "cpu",
  "ctime",
  "digest",
  "disk",
  "endtime",
  "maxdisk:node",
  "maxdisk:storage",
  "mem",
  "memhost",
  "netin",
  "netout",
  "pid",
  "pstart",
  "ssl_fingerprint",
  "starttime",
  "uptime",
  "used",
  "used_fraction",
]);

/** By these members lists are put in order: the server's order varies from call to call. */
const ORDER = ["id", "vmid", "volid", "key", "storage", "iface", "roleid", "userid", "realm", "path", "upid"];

const TEXT_PATTERNS: readonly (readonly [RegExp, string])[] = [
  [/UPID:vm:[0-9A-F]{8}:[0-9A-F]{8,9}:[0-9A-F]{8}:/g, "UPID:vm:…:"],
  [/\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, "<uuid>"],
  // A secret, as it was masked.
  [/^\*{3}$/g, "<uuid>"],
  [/\b[0-9a-f]{40}\b/g, "<sha1>"],
  [/\b(?:BC:24:11|bc:24:11)(?::[0-9A-Fa-f]{2}){3}\b/g, "<mac>"],
  // Where the server keeps an upload until a task has it; the recording's lab had a place of its own.
  [/\/var\/(?:srv\/labupload|tmp\/pveupload)-[0-9a-f]{32}/g, "<upload>"],
  [/ctime=\d+/g, "ctime=<time>"],
];

/**
 * A body without what may differ.
 * @param parent the member that the value belongs to
 */
export function normalise(value: unknown, parent = "", owner: object = {}): unknown {
  if (Array.isArray(value)) return sorted(value.map((item) => normalise(item, parent)));
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).map(([key, item]) => [key, normalise(item, key, value)] as const);
    return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
  }
  const type = "type" in owner ? String(owner.type) : "";
  // Totals of storages and nodes are the machine's.
  const ofMachine = parent === "total" && "avail" in owner;
  if (VOLATILE.has(parent) || VOLATILE.has(`${parent}:${type}`) || ofMachine) return `<${typeof value}>`;
  if (parent === "content" || parent === "privs") return inOrder(String(value));
  if (typeof value !== "string") return value;
  return TEXT_PATTERNS.reduce((text, [pattern, name]) => text.replace(pattern, name), value);
}

/** A list of names in one text; anything else stays as it is. */
function inOrder(text: string): string {
  return /^[\w.]+(?:,[\w.]+)*$/.test(text) ? text.split(",").sort().join(",") : text;
}

/** Only which members there are and of which types; lists count as their first elements' members together. */
export function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? [] : [shapeOf(value[0])];
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(
      Object.entries(value)
        .map(([key, item]) => [key, shapeOf(item)] as const)
        .sort(([a], [b]) => (a < b ? -1 : 1)),
    );
  }
  return value === null ? "null" : typeof value;
}

function sorted(items: unknown[]): unknown[] {
  const name = (item: unknown): string => {
    if (typeof item !== "object" || item === null) return JSON.stringify(item);
    const key = ORDER.find((candidate) => candidate in item);
    return key === undefined ? JSON.stringify(item) : String((item as Record<string, unknown>)[key]);
  };
  return items.sort((a, b) => (name(a) < name(b) ? -1 : 1));
}
