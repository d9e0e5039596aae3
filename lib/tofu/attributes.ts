import type { ChangeJson } from "./plan-json.ts";

/** One attribute that changes. */
export interface AttributeChange {
  /** Blocks that may stand once are shown without their index: "memory.dedicated". */
  readonly path: string;
  readonly before: string;
  readonly after: string;
  /** It cannot be changed in a VM that exists. */
  readonly replaces: boolean;
}

const NOT_SET = "(not set)";

/** What differs between before and after. What only the provider knows (addresses, MAC) is no decision and left out. */
export function attributeChanges(change: ChangeJson): AttributeChange[] {
  const found: AttributeChange[] = [];
  const replacing = (change.replace_paths ?? []).map((path) => path.join("."));
  compare([], change, (path, before, after) => {
    const dotted = path.join(".");
    found.push({
      path: path.filter((part) => part !== "0").join("."),
      before,
      after,
      replaces: replacing.some((each) => dotted === each || dotted.startsWith(`${each}.`)),
    });
  });
  return found;
}

type Found = (path: readonly string[], before: string, after: string) => void;

function compare(path: readonly string[], change: Omit<ChangeJson, "actions">, found: Found): void {
  const { before, after, after_unknown: unknown, before_sensitive, after_sensitive } = change;
  if (unknown === true) return;
  if (before_sensitive === true || after_sensitive === true) {
    if (!same(before, after)) found(path, "(secret)", "(another secret)");
    return;
  }
  // A list of plain values (tags, keys) is one decision; a list of blocks is compared block by block.
  if (isTree(before) || isTree(after)) {
    const keys = new Set([...keysOf(before), ...keysOf(after)]);
    for (const key of keys) {
      compare(
        [...path, key],
        {
          before: at(before, key),
          after: at(after, key),
          after_unknown: at(unknown, key),
          before_sensitive: at(before_sensitive, key),
          after_sensitive: at(after_sensitive, key),
        },
        found,
      );
    }
    return;
  }
  if (!same(before, after)) found(path, show(before), show(after));
}

/** To the provider an attribute that is not set is the same as an empty, false or zero one. */
function same(before: unknown, after: unknown): boolean {
  const plain = (value: unknown): string => (value === false || value === 0 ? NOT_SET : show(value));
  return plain(before) === plain(after);
}

function isTree(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  return !Array.isArray(value) || value.some((each) => typeof each === "object" && each !== null);
}

function keysOf(value: unknown): string[] {
  return typeof value === "object" && value !== null ? Object.keys(value) : [];
}

function at(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined;
}

function show(value: unknown): string {
  if (value === undefined || value === null || value === "") return NOT_SET;
  if (Array.isArray(value)) return value.length === 0 ? NOT_SET : value.join(", ");
  return typeof value === "string" ? value : JSON.stringify(value);
}
