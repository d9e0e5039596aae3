/**
 * The names under which a file's tests report, read from its text: tests of node:test and bats, assertions of goss, runs of
 * `tofu test`. The code is formatted by biome, so a test begins a line.
 */

/** The fixed parts of a name; between two of them lies what the test puts in when it runs. */
export type Title = readonly string[];

/** What stands for the parts that a test puts in, where a title is quoted. */
export const HOLE = "…";

/** Whether a file's name is that of one whose tests `npm test` runs. */
export function isTestFile(path: string): boolean {
  return READERS.some(({ files }) => files.test(path));
}

/**
 * Whether a file has a test of this title.
 * @param path decides how the file is read
 * @param text the file
 * @param wanted the title; each part that the test puts in is {@link HOLE}, or a text or a number that the file contains
 */
export function hasTitle(path: string, text: string, wanted: string): boolean {
  const reader = READERS.find(({ files }) => files.test(path));
  if (reader === undefined) return false;
  const titles = known.get(text) ?? reader.titles(text);
  known.set(text, titles);
  const isGiven = (part: string): boolean =>
    part === HOLE || isQuoted(text, part) || (/^\d+$/.test(part) && new RegExp(`\\b${part}\\b`).test(text));
  return titles.some((title) => {
    // Nothing fixed to know it by: the whole title comes from data of the file.
    if (title.join("").replace(/\W/g, "").length < 5) return isQuoted(text, wanted);
    const parts = new RegExp(`^${title.map(escaped).join("([\\s\\S]+?)")}$`).exec(wanted);
    return parts?.slice(1).every(isGiven) === true;
  });
}

/** A page names the same file again and again. */
const known = new Map<string, readonly Title[]>();

interface Reader {
  readonly files: RegExp;
  readonly titles: (text: string) => readonly Title[];
}

const READERS: readonly Reader[] = [
  { files: /(^|\/)test\/(unit|properties|integration)\/[^/]+\.test\.ts$/, titles: testTitles },
  { files: /(^|\/)test\/scripts\/[^/]+\.bats$/, titles: (text) => fixed(text, /^@test "([^"]+)"/gm) },
  { files: /\/goss\.yaml$/, titles: (text) => gossTitles(text) },
  { files: /\.tftest\.hcl$/, titles: (text) => fixed(text, /^run "([^"]+)"/gm) },
];

function fixed(text: string, form: RegExp): Title[] {
  return [...text.matchAll(form)].map(([, title = ""]) => [title]);
}

/** Assertions are the keys below file: and command:; what the template puts in is a hole. */
function gossTitles(text: string): Title[] {
  return [...text.matchAll(/^ {2}(?![# -])(.+?):(?: |$)/gm)].map(([, title = ""]) =>
    title.split(/\{\{.*?\}\}/),
  );
}

/** A call of test, describe or it that begins a line; one that is skipped or still to be written proves nothing. */
const CALL = /^[ \t]*(?:(?:await|void)\s+)?(?:\w+\.)?(?:test|describe|it|suite)(?:\.only)?\(\s*/gm;

function testTitles(text: string): Title[] {
  const code = text.replace(/(^|\s)\/\*[\s\S]*?\*\//g, "$1");
  return [...code.matchAll(CALL)].flatMap(({ 0: call, index }) => {
    const start = index + call.length;
    const [name] = /^[A-Za-z_]\w*/.exec(code.slice(start, start + 80)) ?? [];
    const direct = titleAt(code, start);
    if (name === undefined) return direct === undefined ? [] : [direct];
    const values = [...code.matchAll(new RegExp(`\\bconst ${name} =\\s*`, "g"))]
      .map(({ 0: declaration, index: at }) => titleAt(code, at + declaration.length))
      .filter((title) => title !== undefined);
    return values.length > 0 ? values : [UNKNOWN];
  });
}

/** A title that comes from data. */
const UNKNOWN: Title = ["", ""];

/** The string or template that begins at a place. */
function titleAt(code: string, start: number): Title | undefined {
  const quote = code[start] ?? "";
  if (!/["'`]/.test(quote)) return undefined;
  const parts = [""];
  for (let at = start + 1; at < code.length; at += 1) {
    const character = code[at] ?? "";
    if (character === quote) return parts;
    if (quote === "`" && code.startsWith("${", at)) {
      at = endOfHole(code, at + 1);
      parts.push("");
    } else {
      if (character === "\\") at += 1;
      parts[parts.length - 1] += code[at] ?? "";
    }
  }
  return undefined;
}

/** Where the brace that opens at a place is closed; strings within may hold braces of their own. */
function endOfHole(code: string, start: number): number {
  let depth = 0;
  for (let at = start; at < code.length; at += 1) {
    const [string] = /^("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)/.exec(code.slice(at)) ?? [];
    if (string !== undefined) at += string.length - 1;
    else if (code[at] === "{") depth += 1;
    else if (code[at] === "}") depth -= 1;
    if (depth === 0) return at;
  }
  return code.length;
}

function isQuoted(text: string, words: string): boolean {
  const inner = JSON.stringify(words).slice(1, -1);
  return [`"${inner}"`, `'${words}'`, `\`${words}\``].some((quoted) => text.includes(quoted));
}

function escaped(words: string): string {
  return words.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
