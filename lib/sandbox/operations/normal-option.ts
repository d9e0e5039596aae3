import { createHash, randomUUID } from "node:crypto";

/** What the server makes of an option's value before it writes it. */
export function normalOption(key: string, value: string): string {
  switch (key) {
    case "tags":
      return sortedTags(value);
    case "vmgenid":
      return value === "1" ? randomUUID() : value;
    case "cipassword":
      // Nobody logs in with it here: only that it was set, and whether it changed, matters.
      return createHash("sha256").update(value).digest("hex");
    default:
      return value;
  }
}

/** Tags by name, each once whatever its case. */
function sortedTags(value: string): string {
  const tags = new Map<string, string>();
  for (const tag of value.split(/[,;\s]+/)) {
    if (tag !== "" && !tags.has(tag.toLowerCase())) tags.set(tag.toLowerCase(), tag);
  }
  return [...tags.values()].sort().join(";");
}
