/** One line of `packer -machine-readable`, understood. @see https://developer.hashicorp.com/packer/docs/commands#machine-readable-output */
export type PackerEvent =
  /** Something it says or passes on; `error` is what went wrong. */
  | { readonly kind: "say" | "message" | "error"; readonly text: string }
  /** Something that was made. */
  | { readonly kind: "artifact"; readonly key: string; readonly value: string };

/** @returns undefined for lines that are of no use to a person */
export function parsePackerLine(line: string): PackerEvent | undefined {
  const [time, , type, ...data] = line.split(",").map(unescaped);
  if (time === undefined || !/^\d+$/.test(time)) return undefined;
  if (type === "ui") {
    const [kind, text = ""] = data;
    // "==> qemu.alma9: text" and, for what a script prints, "    qemu.alma9: text".
    const plain = text.replace(/^(?:==>|-->|\s{4})\s?[\w.-]+: /, "").trimEnd();
    if (kind === "say" || kind === "message" || kind === "error") return { kind, text: plain };
  }
  if (type === "artifact") {
    const [, key = "", ...values] = data;
    return { kind: "artifact", key, value: values.at(-1) ?? "" };
  }
  return undefined;
}

function unescaped(text: string): string {
  return text.replaceAll("%!(PACKER_COMMA)", ",").replaceAll("\\n", "\n").replaceAll("\\r", "\r");
}
