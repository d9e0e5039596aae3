import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";

/** What the documents say, taken apart: links, anchors, code blocks, commands, settings, quoted messages. */

export interface CodeBlock {
  readonly language: string;
  readonly text: string;
  /** Of its first line, from 1. */
  readonly line: number;
}

/** One use of a command in a document. */
export interface CommandUse {
  readonly name: string;
  /** Flags by name, without dashes or value. */
  readonly flags: readonly string[];
  /** As it stands there. */
  readonly text: string;
}

const FENCE = /^ *(?:```|~~~)(\S*)/;

/** The Markdown files people read, relative to the repository. */
export function markdownFiles(root: string): string[] {
  const found = ["README.md"];
  const visit = (folder: string): void => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory() && !/^(\.|node_modules$|output$|charts$)/.test(entry.name)) visit(path);
      else if (entry.name.endsWith(".md")) found.push(path);
    }
  };
  for (const folder of ["docs", "packer", "terraform"]) visit(folder);
  return found.sort();
}

export function codeBlocks(text: string): CodeBlock[] {
  const blocks: CodeBlock[] = [];
  let open: { language: string; line: number; lines: string[] } | undefined;
  for (const [at, line] of text.split("\n").entries()) {
    const fence = FENCE.exec(line);
    if (fence === null) open?.lines.push(line);
    else if (open === undefined) open = { language: fence[1] ?? "", line: at + 2, lines: [] };
    else {
      blocks.push({ language: open.language, line: open.line, text: `${open.lines.join("\n")}\n` });
      open = undefined;
    }
  }
  return blocks;
}

/** The text without its fenced code blocks; lines keep their number. */
function prose(text: string): string {
  let inside = false;
  return text
    .split("\n")
    .map((line) => {
      if (!FENCE.test(line)) return inside ? "" : line;
      inside = !inside;
      return "";
    })
    .join("\n");
}

/** What stands in backticks, outside of code blocks. */
export function inlineCode(text: string): string[] {
  return [...prose(text).matchAll(/`([^`]+)`/g)].map(([, code = ""]) => code);
}

/** Headings as they are written, without their marks. */
function headings(text: string): string[] {
  return [...prose(text).matchAll(/^#+ +(.*?) *$/gm)].map(([, heading = ""]) => heading);
}

/** The anchors of a page, as GitHub makes them of its headings. */
export function anchors(text: string): Set<string> {
  const found = new Set<string>();
  for (const heading of headings(text)) {
    const slug = heading
      .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\p{M}_ -]/gu, "")
      .replaceAll(" ", "-");
    let name = slug;
    for (let count = 1; found.has(name); count += 1) name = `${slug}-${count}`;
    found.add(name);
  }
  return found;
}

/** Relative links of a file that lead nowhere, each with why. */
export function brokenLinks(root: string, file: string, text: string): string[] {
  const targets = [...prose(text).matchAll(/\[[^\]]*\]\(([^)\s]+)\)/g)].map(([, target = ""]) => target);
  return targets.flatMap((target) => {
    if (/^[a-z]+:/.test(target)) return [];
    const [path = "", anchor] = target.split("#");
    const full = path === "" ? join(root, file) : join(root, dirname(file), path);
    if (relative(root, full).startsWith("..")) return [`${file}: ${target} leads out of the repository`];
    if (!existsSync(full)) return [`${file}: ${target} does not exist`];
    if (anchor === undefined) return [];
    if (statSync(full).isDirectory()) return [`${file}: ${target} has an anchor, but is a folder`];
    const known = anchors(path === "" ? text : readFileSync(full, "utf8"));
    return known.has(anchor) ? [] : [`${file}: ${target} has no such heading`];
  });
}

/** Every `npm run NAME` and `npx tsx tasks/NAME.ts`, in code blocks and in backticks. */
export function commandUses(text: string): CommandUse[] {
  const pieces = [...codeBlocks(text).map((block) => block.text), ...inlineCode(text)];
  // A command ends with its line, with the next command, or where a comment begins.
  const lines = pieces.flatMap((piece) =>
    piece
      .replaceAll("\\\n", " ")
      .split(/\n|&&|\||;| # /)
      .map((line) => line.trim()),
  );
  return lines.flatMap((line) => {
    const npm = /\bnpm run ([\w:-]+)((?: .*)?)$/.exec(line);
    const tsx = /\bnpx tsx tasks\/([\w-]+)\.ts((?: .*)?)$/.exec(line);
    const [, name, rest = ""] = npm ?? tsx ?? [];
    if (name === undefined || name === "NAME") return [];
    // npm keeps what stands before the lone dashes for itself.
    const words = npm === null ? rest : (/(?:^| )--(?: (.*))?$/.exec(rest)?.[1] ?? "");
    const flags = [...` ${words}`.matchAll(/\s\[?--([a-z][\w-]*)/g)].map(([, flag = ""]) => flag);
    return [{ name, flags, text: line }];
  });
}

/** Names in the form of settings: upper case, with an underscore. */
export function settingLike(text: string): string[] {
  return [...new Set(text.match(/(?<![\w$/.-])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b(?![\w*(])/g) ?? [])];
}

/** A page's quoted messages of ours: headings in backticks, with an ellipsis where a value stands. */
export function quotedMessages(text: string): string[] {
  return headings(text).flatMap((heading) => /^`([^`]+)`$/.exec(heading)?.[1] ?? []);
}

/** Whether a message occurs in a line of code, its values left open. */
export function occursIn(message: string, lines: readonly string[]): boolean {
  const parts = message
    .split("…")
    .map((part) => part.trim().replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
    .filter((part) => part !== "");
  const form = new RegExp(parts.join(".+?"));
  return lines.some((line) => form.test(line));
}
