import { randomBytes } from "node:crypto";
import { open, readFile, realpath, rename, rm } from "node:fs/promises";
import { isDeepStrictEqual } from "node:util";
import { messageOf, UsageError } from "../errors.ts";

type Values = Readonly<Record<string, string>>;
type Parse = (text: string) => Record<string, string>;

/** What needs no quotes, in .env and in a shell that reads the file too. */
const PLAIN = /^[\w./:@%+,^-]+$/;

/** The value of an assignment as dotenv reads it: in quotes also over several lines. */
const VALUE = "(?:'(?:\\\\'|[^'])*'|\"(?:\\\\\"|[^\"])*\"|`(?:\\\\`|[^`])*`|[^#\\r\\n]*?)";

/**
 * The text of a .env in which settings have been set: a setting that has a line there keeps its place, others are
 * added at the end, and all else stays as it is.
 * @param text of the file as it is; empty where there is none
 * @throws {UsageError} for a value that dotenv would not read back as it is
 */
export async function withSettings(text: string, values: Values): Promise<string> {
  const { parse } = await import("dotenv");
  let result = text;
  for (const [name, value] of Object.entries(values)) result = withSetting(result, name, value, parse);
  return result;
}

function withSetting(text: string, name: string, value: string, parse: Parse): string {
  const before = parse(text);
  // However it is written there: it says so already.
  if (before[name] === value) return text;
  const expected = { ...before, [name]: value };
  for (const written of writings(value)) {
    for (const changed of [replaced(text, name, written), appended(text, name, written)]) {
      // dotenv itself is asked: a quote that somebody left open further up would swallow a line that looks well.
      if (changed !== undefined && isDeepStrictEqual({ ...parse(changed) }, expected)) return changed;
    }
  }
  throw new UsageError({
    what: `${name} cannot be written into .env`,
    why: "However it is quoted, something else would be read back: the value has quotes of every kind, or the file a quote without its end",
    todo: [`Set it in the environment: export ${name}=…`],
  });
}

/** The ways to write a value, the plainest first. */
function writings(value: string): string[] {
  return [...(PLAIN.test(value) ? [value] : []), `'${value}'`, `"${value}"`, `\`${value}\``];
}

/** The last line of a setting counts, so this is the one to change. */
function replaced(text: string, name: string, written: string): string | undefined {
  const line = new RegExp(
    `^([ \\t]*(?:export[ \\t]+)?${name}[ \\t]*=)[ \\t]*${VALUE}([ \\t]*(?:#[^\\r\\n]*)?)$`,
    "gm",
  );
  const last = [...text.replaceAll("\r\n", " \n").matchAll(line)].at(-1);
  if (last === undefined) return undefined;
  const [whole, before = "", after = ""] = last;
  const end = last.index + whole.length;
  // A comment right behind the value would become part of it.
  const rest = after.startsWith("#") ? ` ${after}` : after;
  return (
    text.slice(0, last.index) + before + written + withoutCarriageReturn(rest, text, end) + text.slice(end)
  );
}

/** Line ends of Windows were made blanks of the same length for the search: the last one belongs to the line's end. */
function withoutCarriageReturn(rest: string, text: string, end: number): string {
  return text[end - 1] === "\r" ? `${rest.slice(0, -1)}\r` : rest;
}

function appended(text: string, name: string, written: string): string {
  const newline = text.includes("\r\n") ? "\r\n" : "\n";
  const start = text === "" || text.endsWith("\n") ? text : text + newline;
  return `${start}${name}=${written}${newline}`;
}

/**
 * Set settings in a .env, which is made when it is missing. The file is replaced at once and whole, and only its owner
 * can read it afterwards.
 * @param file its path; what a symbolic link leads to is changed, not the link
 * @throws {UsageError} for a value that cannot be written, or a file that cannot
 */
export async function saveToDotenv(file: string, values: Values): Promise<void> {
  let temporary: string | undefined;
  try {
    const target = await realpath(file).catch(ifMissing(file));
    const text = await readFile(target, "utf8").catch(ifMissing(""));
    const changed = await withSettings(text, values);
    // .gitignore knows names that begin so.
    temporary = `${target}.${randomBytes(6).toString("hex")}.tmp`;
    const handle = await open(temporary, "wx", 0o600);
    try {
      await handle.writeFile(changed);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, target);
  } catch (error) {
    if (temporary !== undefined) await rm(temporary, { force: true });
    if (error instanceof UsageError) throw error;
    throw new UsageError({
      what: `${file} cannot be written`,
      why: messageOf(error),
      todo: ["See whose it is, and write the lines into it yourself:", `$ ls -l ${file}`],
      left: [`${file} is as it was`],
      cause: error,
    });
  }
}

function ifMissing(instead: string): (error: unknown) => string {
  return (error) => {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return instead;
    throw error;
  };
}
