const ASSIGNMENT =
  /^\s*([A-Za-z_][\w-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|(-?\d+(?:\.\d+)?|true|false))\s*(?:(?:#|\/\/).*)?$/;

/**
 * Read the plain assignments (strings, numbers, booleans, one a line) of a .tfvars file. Lists, maps and heredocs
 * are OpenTofu's business: no setting of ours is one.
 * @see https://opentofu.org/docs/language/values/variables/#variable-definitions-tfvars-files
 */
export function parseTfvars(text: string): Record<string, string> {
  const values: Record<string, string> = {};
  for (const line of text.split(/\r?\n/)) {
    const match = ASSIGNMENT.exec(line);
    const [, name, quoted, bare] = match ?? [];
    if (name === undefined) continue;
    values[name] =
      quoted === undefined ? (bare ?? "") : quoted.replace(/\\(.)/g, (_all, char: string) => unescaped(char));
  }
  return values;
}

const BLANK = /(?:[ \t\r]+|#.*|\/\/.*|\/\*[\s\S]*?\*\/)/y;
const START = /([A-Za-z_][\w-]*|"[^"\n]*")[ \t]*=(?!=)[ \t]*(?=[^\s#])/y;
const VALUE = /"(?:[^"\\\n]|\\.)*"|<<-?[ \t]*([\w-]+)\r?\n(?:[^\n]*\n)*?[ \t]*\1(?=\r?\n|$)|[^\s"#[\]{}()]/y;
const CLOSES: Readonly<Record<string, string>> = { "[": "]", "{": "}", "(": ")" };

/**
 * Where a .tfvars file is no list of assignments: a quote or bracket that is not closed, a line that assigns nothing.
 * Whether the values are ones that OpenTofu takes is its own business.
 * @returns the first such place; undefined when there is none
 */
export function tfvarsFlaw(text: string): { readonly line: number; readonly words: string } | undefined {
  const open: { readonly at: number; readonly closes: string }[] = [];
  let at = 0;
  let starts = true;
  const take = (pattern: RegExp): boolean => {
    pattern.lastIndex = at;
    if (!pattern.test(text)) return false;
    at = pattern.lastIndex;
    return true;
  };
  const flaw = (words: string, where = at) => ({ line: text.slice(0, where).split("\n").length, words });
  while (at < text.length) {
    const char = text[at] ?? "";
    if (take(BLANK)) continue;
    if (char === "\n") {
      starts ||= open.length === 0;
      at += 1;
    } else if (starts) {
      if (!take(START)) return flaw("this assigns no value to a variable");
      starts = false;
    } else if (CLOSES[char] !== undefined) {
      open.push({ at, closes: CLOSES[char] });
      at += 1;
    } else if (char === open.at(-1)?.closes) {
      open.pop();
      at += 1;
    } else if (!take(VALUE)) return flaw(char === '"' ? "a quote is not closed" : `${char} closes nothing`);
  }
  const [first] = open;
  return first === undefined ? undefined : flaw("a bracket is not closed", first.at);
}

function unescaped(char: string): string {
  return { n: "\n", t: "\t", r: "\r" }[char] ?? char;
}
