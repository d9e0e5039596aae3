import { createHash } from "node:crypto";

/** What a VM's configuration file holds. */
export interface ConfFile {
  readonly config: Readonly<Record<string, string>>;
  /** Changes that wait for the next start; null deletes an option. */
  readonly pending: Readonly<Record<string, string | null>>;
}

const OPTION = /^(?<key>[a-z][a-z0-9_-]*):[ ]?(?<value>.*)$/i;
const PENDING = "[PENDING]";

/**
 * The text of a VM's configuration file (/etc/pve/nodes/NODE/qemu-server/VMID.conf): the description as comment lines,
 * then the options by name, then those that are pending.
 */
export function formatConf({ config, pending }: ConfFile): string {
  const lines = section(config);
  const waiting = Object.entries(pending);
  if (waiting.length > 0) {
    const deleted = waiting.filter(([, value]) => value === null).map(([key]) => key);
    const changed = waiting.flatMap(([key, value]) => (value === null ? [] : [[key, value] as const]));
    lines.push("", PENDING);
    if (deleted.length > 0) lines.push(`delete: ${deleted.sort().join(",")}`);
    lines.push(...section(Object.fromEntries(changed)));
  }
  return lines.map((line) => `${line}\n`).join("");
}

/** Read a configuration file; lines that are no options are passed over. */
export function parseConf(text: string): ConfFile {
  const config: Record<string, string> = {};
  const pending: Record<string, string | null> = {};
  const comments: { config: string[]; pending: string[] } = { config: [], pending: [] };
  let current: "config" | "pending" = "config";
  for (const line of text.split("\n")) {
    if (line === PENDING) {
      current = "pending";
    } else if (line.startsWith("#")) {
      comments[current].push(unescapeComment(line.slice(1)));
    } else {
      const groups = OPTION.exec(line)?.groups;
      if (groups?.key === undefined || groups.value === undefined) continue;
      if (current === "config") config[groups.key] = groups.value;
      else if (groups.key !== "delete") pending[groups.key] = groups.value;
      else for (const key of groups.value.split(",")) pending[key] = null;
    }
  }
  if (comments.config.length > 0) config.description = comments.config.join("\n");
  if (comments.pending.length > 0) pending.description = comments.pending.join("\n");
  return { config, pending };
}

/** The digest by which clients notice that somebody else changed the file: SHA-1 of its text. */
export function digestOf(conf: ConfFile): string {
  return createHash("sha1").update(formatConf(conf)).digest("hex");
}

function section(options: Readonly<Record<string, string>>): string[] {
  const { description, ...rest } = options;
  const comments = description === undefined ? [] : description.split("\n").map(escapeComment);
  const values = Object.keys(rest)
    .sort()
    .map((key) => `${key}: ${rest[key]}`);
  return [...comments.map((line) => `#${line}`), ...values];
}

/** Comment lines must stay one line each and survive a round trip. */
function escapeComment(line: string): string {
  return line.replace(/[%\r\0]/g, (character) => encodeURIComponent(character));
}

function unescapeComment(line: string): string {
  return line.replace(/%(?:25|0D|00)/gi, (code) => decodeURIComponent(code));
}
