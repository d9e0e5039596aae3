import { readdir, readFile } from "node:fs/promises";
import { join, posix } from "node:path";

/**
 * Placeholders in configuration files: what a person has to fill in says CHANGEME, what is left to be done says TODO, and
 * nothing else stands for a value. A file is read line by line, in whatever syntax it is.
 */

/** The two words that mark a placeholder. */
export type PlaceholderWord = "TODO" | "CHANGEME";

/** A placeholder, written as the convention has it. */
export interface Placeholder {
  /** Relative to the repository, with slashes. */
  readonly file: string;
  /** Counted from 1. */
  readonly line: number;
  readonly word: PlaceholderWord;
  readonly where: "value" | "comment";
  /** Name of the value, where the line has one. */
  readonly key?: string;
  /**
   * Who fills it in: a person, in this very file; a person, in a copy of it, so that it stays here; or the Kustomize
   * component argo/repository, so that nobody has to.
   */
  readonly filled: "here" | "in a copy" | "by kustomize";
}

/** Something that stands for a value, or for work to do, and says so in words of its own. */
export interface BadPlaceholder {
  readonly file: string;
  readonly line: number;
  readonly key?: string;
  /** The words themselves. A secret is never among them: of a literal one only the key is told. */
  readonly words: string;
  /** What to do about it, as a sentence's end: "say CHANGEME instead". */
  readonly advice: string;
}

/** What was found in a tree. */
export interface PlaceholderScan {
  /** Every file that was looked at. */
  readonly files: readonly string[];
  readonly placeholders: readonly Placeholder[];
  readonly bad: readonly BadPlaceholder[];
}

const CONFIGURATION =
  /\.(?:tf|tfvars|hcl|ya?ml|json|jsonc|toml|ini|cfg|conf|example)$|(?:^|\/)\.(?:env[^/]*|npmrc|editorconfig|tflint\.hcl|yamllint)$/;
/** Programs, their tests, what programs have made, and what somebody else wrote. */
const ELSEWHERE =
  /^(?:lib|tasks|test|bench|docs|coverage|node_modules|package-lock\.json)(?:\/|$)|(?:^|\/)(?:\.git|\.homelab|\.terraform|node_modules|charts|output|packer_cache|[^/]*\.tfstate[^/]*)(?:\/|$)/;
/** One person's settings: never in Git, and secrets are at home there. */
const OWN = /(?:^|\/)\.env(?:\.(?!example$)[^/]+)?$|\.tfvars(?:\.json)?$|\.pkrvars\.hcl$/;
/** Files that people copy, and fill in the copy. */
const TEMPLATE = /\.example$|\/http\/userdata\//;
/** The comment behind a value that the component k8s/argo/repository replaces. */
const KUSTOMIZE_FILLS = "argo/repository";

const SAY_CHANGEME = "say CHANGEME instead";
const SAY_TODO = "say TODO instead";

interface Rule {
  readonly form: RegExp;
  readonly advice: string;
}

/** Wrong wherever they stand, unless it is one of the two words themselves. */
const ANYWHERE: readonly Rule[] = [
  { form: /\b\w*change[_-]?me\w*|\bchange me\b/gi, advice: SAY_CHANGEME },
  { form: /\b(?:replace|fill|edit|insert|set)[_-]?(?:me|here|in)(?![a-z])\w*/gi, advice: SAY_CHANGEME },
  { form: /\bto-?do\b/gi, advice: SAY_TODO },
  { form: /\b(?:fix[_-]?me|tbd|tba)\b|\bXXX\b/gi, advice: SAY_TODO },
];
/** <token>, but neither a group's name in an expression nor a key that Packer presses. */
const ANGLES =
  /(?<![?<\\])<(?!(?:wait\w*|up|down|left\w*|right\w*|tab|enter|return|home|end|page\w+|esc|bs|del|insert|spacebar|menu|f\d+)>)[a-z][\w .-]*>/gi;
/** Wrong in values; in a comment they may be a plain sentence. */
const IN_VALUES: readonly Rule[] = [
  { form: /\byour[_-]\w[\w-]*|\byour(?:password|token|secret|key|domain|name)\b/gi, advice: SAY_CHANGEME },
  { form: ANGLES, advice: SAY_CHANGEME },
  { form: /\bplaceholder\b/gi, advice: SAY_CHANGEME },
];
/** Wrong as a whole value. */
const WHOLE = /^(?:x{3,}|\*{3,}|\.{3,}|…|\?{2,})$/i;

const SECRET_KEY = /(?:password|passwd|passphrase|secret|token|api[_-]?key)$/i;
/** They name an object that holds the secret. */
const NAMES_A_SECRET = /(?:existing|pull|tls|image)secret$/i;
const NO_LITERAL = /^(?:true|false|null|none|~|\d+(?:\.\d+)?|[$*&|>{[!].*|.*(?:\$\{|\{\{).*)?$/i;

/**
 * The configuration files of a tree, one person's own (.env, *.tfvars) included.
 * @param root the repository's folder
 * @returns paths relative to it, with slashes, in order
 */
export async function configurationFiles(root: string): Promise<string[]> {
  const found: string[] = [];
  const walk = async (folder: string): Promise<void> => {
    for (const entry of await readdir(join(root, folder), { withFileTypes: true })) {
      const path = posix.join(folder, entry.name);
      if (ELSEWHERE.test(path)) continue;
      if (entry.isDirectory()) await walk(path);
      // What a link leads to is looked at where it lies.
      else if (entry.isFile() && CONFIGURATION.test(path)) found.push(path);
    }
  };
  await walk("");
  return found.sort();
}

/**
 * Look for placeholders in every configuration file of a tree.
 * @param root the repository's folder
 */
export async function scanPlaceholders(root: string): Promise<PlaceholderScan> {
  const files = await configurationFiles(root);
  const texts = await Promise.all(files.map(async (file) => await readFile(join(root, file), "utf8")));
  return {
    files,
    placeholders: files.flatMap((file, at) => placeholdersIn(file, texts[at] ?? "")),
    bad: files.flatMap((file, at) => badPlaceholdersIn(file, texts[at] ?? "")),
  };
}

/**
 * The placeholders of one file, at most one a line.
 * @param file its path in the repository, which tells what kind of file it is
 */
export function placeholdersIn(file: string, text: string): Placeholder[] {
  return linesOf(text).flatMap(({ line, code, comment, key }): Placeholder[] => {
    const inValue = /\b(?:TODO|CHANGEME)\b/.exec(code)?.[0];
    const word = inValue ?? /\b(?:TODO|CHANGEME)\b/.exec(comment)?.[0];
    if (!isPlaceholderWord(word)) return [];
    const byKustomize = inValue !== undefined && comment.trim() === KUSTOMIZE_FILLS;
    return [
      {
        file,
        line,
        word,
        where: inValue === undefined ? "comment" : "value",
        ...(key === undefined ? {} : { key }),
        filled: byKustomize ? "by kustomize" : TEMPLATE.test(file) ? "in a copy" : "here",
      },
    ];
  });
}

/**
 * What stands for a value in one file without being a TODO or a CHANGEME; literal secrets count, except in a file that is
 * one person's own.
 * @param file its path in the repository, which tells what kind of file it is
 */
export function badPlaceholdersIn(file: string, text: string): BadPlaceholder[] {
  const own = OWN.test(file);
  return linesOf(text).flatMap(({ line, code, comment, key, value }): BadPlaceholder[] => {
    const at = { file, line, ...(key === undefined ? {} : { key }) };
    // In a file with secrets words count only where they are the whole value: then it is no secret.
    const found = own
      ? [...ANYWHERE, ...IN_VALUES].filter(({ form }) => wordsOf(form, value)[0] === value)
      : [];
    if (own) return found.slice(0, 1).map(({ advice }) => ({ ...at, words: value, advice }));
    const all = [
      ...ANYWHERE.flatMap(({ form, advice }) =>
        [...wordsOf(form, code), ...wordsOf(form, comment)].map((words) => ({ ...at, words, advice })),
      ),
      ...IN_VALUES.flatMap(({ form, advice }) =>
        wordsOf(form, code).map((words) => ({ ...at, words, advice })),
      ),
      ...(WHOLE.test(value) ? [{ ...at, words: value, advice: SAY_CHANGEME }] : []),
    ];
    if (all.length > 0 || !isLiteralSecret(key, value)) return all;
    const advice = "say CHANGEME instead, and give the secret where it is not in Git";
    return [{ ...at, words: `a literal value of ${key}`, advice }];
  });
}

function wordsOf(form: RegExp, text: string): string[] {
  return [...text.matchAll(form)].map(([words]) => words).filter((words) => !isPlaceholderWord(words));
}

function isPlaceholderWord(text: string | undefined): text is PlaceholderWord {
  return text === "TODO" || text === "CHANGEME";
}

function isLiteralSecret(key: string | undefined, value: string): boolean {
  if (key === undefined || !SECRET_KEY.test(key) || NAMES_A_SECRET.test(key)) return false;
  return !NO_LITERAL.test(value) && !/\b(?:TODO|CHANGEME)\b/.test(value);
}

interface Line {
  /** Counted from 1. */
  readonly line: number;
  /** Without the comment. */
  readonly code: string;
  /** Without what begins it. */
  readonly comment: string;
  readonly key?: string;
  /** What is given to the key, or the item of a list, without quotes; of HCL only what is literal. */
  readonly value: string;
}

const KEYED = /^\s*(?:export\s+)?(?:-\s+)?(["']?)([\w.-]+)\1\s*([:=])(?:\s+|(?<==)|$)(.*?),?\s*$/;
const ITEM = /^\s*(?:-\s+)?(.*?),?\s*$/;

function linesOf(text: string): Line[] {
  return text.split(/\r?\n/).map((whole, index) => {
    const at = commentStart(whole);
    const code = whole.slice(0, at);
    const comment = whole.slice(at).replace(/^(?:#+|\/\/+)/, "");
    const [, , key, , given] = KEYED.exec(code) ?? [];
    const value = (given ?? ITEM.exec(code)?.[1] ?? "").trim().replace(/^(["'])(.*)\1$/, "$2");
    // What HCL leaves unquoted is an expression.
    const isExpression = key !== undefined && /^\s*[\w.-]+\s+=\s+[^"\s]/.test(code);
    return {
      line: index + 1,
      code,
      comment,
      ...(key === undefined ? {} : { key }),
      value: isExpression ? "" : value,
    };
  });
}

/** Where a line's comment begins: at a # or // outside of quotes, first in the line or after a space. */
function commentStart(line: string): number {
  let quote = "";
  for (let at = 0; at < line.length; at += 1) {
    const char = line[at] ?? "";
    const before = line[at - 1] ?? " ";
    if (quote === '"' && char === "\\") at += 1;
    else if (quote !== "") quote = char === quote ? "" : quote;
    // Elsewhere an apostrophe belongs to a word.
    else if (char === '"' || (char === "'" && /[\s[{(,:=]/.test(before))) quote = char;
    else if (/\s/.test(before) && (char === "#" || line.startsWith("//", at))) return at;
  }
  return line.length;
}
