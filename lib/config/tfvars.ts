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

function unescaped(char: string): string {
  return { n: "\n", t: "\t", r: "\r" }[char] ?? char;
}
