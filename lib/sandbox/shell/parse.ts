/** A redirection of one command. */
export interface Redirect {
  /** 0, 1 or 2. */
  readonly fd: number;
  readonly mode: "read" | "write" | "append" | "copy";
  /** A path, or for "copy" the other descriptor's number. */
  readonly target: string;
}

/** A program and its words, quotes removed. */
export interface SimpleCommand {
  readonly words: readonly string[];
  readonly redirects: readonly Redirect[];
}

/** Commands joined by pipes, and what decides whether it runs. */
export interface Pipeline {
  readonly commands: readonly SimpleCommand[];
  /** Run it always, or only if the one before succeeded or failed. */
  readonly when: "always" | "success" | "failure";
}

/** The line is not one this small shell understands. */
export class ShellSyntaxError extends Error {
  override readonly name = "ShellSyntaxError";
}

type Token =
  | { readonly kind: "word"; readonly text: string }
  | { readonly kind: "operator"; readonly text: string };

const OPERATORS = ["&&", "||", ">>", "2>&1", "1>&2", ">&2", "2>>", "2>", "1>", ";", "|", ">", "<", "\n"];

const CONTINUED = "\\\n";

/**
 * Read a command line as a POSIX shell does, as far as remote commands go: quoting, pipes, lists, redirections. There
 * are no expansions: a line that asks for one is refused instead of being taken literally.
 * @throws {ShellSyntaxError}
 */
export function parseCommandLine(line: string): Pipeline[] {
  const pipelines: Pipeline[] = [];
  let commands: SimpleCommand[] = [];
  let words: string[] = [];
  let redirects: Redirect[] = [];
  let when: Pipeline["when"] = "always";
  const endCommand = (): void => {
    if (words.length === 0 && redirects.length === 0) throw new ShellSyntaxError("a command is missing");
    commands.push({ words, redirects });
    words = [];
    redirects = [];
  };
  const endPipeline = (next: Pipeline["when"]): void => {
    endCommand();
    pipelines.push({ commands, when });
    commands = [];
    when = next;
  };
  const tokens = tokensOf(line);
  for (let token = tokens.shift(); token !== undefined; token = tokens.shift()) {
    if (token.kind === "word") words.push(token.text);
    else if (token.text === "&&") endPipeline("success");
    else if (token.text === "||") endPipeline("failure");
    else if (token.text === "|") endCommand();
    else if (token.text === ";" || token.text === "\n") {
      if (words.length + redirects.length + commands.length > 0) endPipeline("always");
    } else redirects.push(redirect(token.text, tokens));
  }
  if (words.length + redirects.length + commands.length > 0 || when !== "always") endPipeline("always");
  return pipelines;
}

function redirect(operator: string, tokens: Token[]): Redirect {
  if (operator === "2>&1") return { fd: 2, mode: "copy", target: "1" };
  if (operator === "1>&2" || operator === ">&2") return { fd: 1, mode: "copy", target: "2" };
  const target = tokens.shift();
  if (target?.kind !== "word") throw new ShellSyntaxError(`a file name is missing after ${operator}`);
  if (operator === "<") return { fd: 0, mode: "read", target: target.text };
  const fd = operator.startsWith("2") ? 2 : 1;
  return { fd, mode: operator.endsWith(">>") ? "append" : "write", target: target.text };
}

function tokensOf(line: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < line.length) {
    if (line[at] === " " || line[at] === "\t") {
      at += 1;
      continue;
    }
    // The line goes on below.
    if (line.startsWith(CONTINUED, at)) {
      at += CONTINUED.length;
      continue;
    }
    const operator = OPERATORS.find((text) => line.startsWith(text, at));
    if (operator !== undefined) {
      tokens.push({ kind: "operator", text: operator });
      at += operator.length;
      continue;
    }
    const { text, end } = word(line, at);
    tokens.push({ kind: "word", text });
    at = end;
  }
  return tokens;
}

function word(line: string, start: number): { text: string; end: number } {
  let text = "";
  let at = start;
  while (at < line.length && !" \t\n;|&<>".includes(line[at] ?? "")) {
    const char = line[at];
    if (char === "'") {
      const close = line.indexOf("'", at + 1);
      if (close < 0) throw new ShellSyntaxError("a quote is not closed");
      text += line.slice(at + 1, close);
      at = close + 1;
    } else if (char === '"') {
      const quoted = doubleQuoted(line, at + 1);
      text += quoted.text;
      at = quoted.end;
    } else if (char === "\\") {
      text += line.startsWith(CONTINUED, at) ? "" : (line[at + 1] ?? "");
      at += 2;
    } else {
      demandLiteral(char ?? "");
      text += char;
      at += 1;
    }
  }
  if (at === start) throw new ShellSyntaxError(`"${line[at]}" is not understood here`);
  return { text, end: at };
}

function doubleQuoted(line: string, start: number): { text: string; end: number } {
  let text = "";
  for (let at = start; at < line.length; at += 1) {
    const char = line[at] ?? "";
    if (char === '"') return { text, end: at + 1 };
    if (line.startsWith(CONTINUED, at)) {
      at += 1;
      continue;
    }
    if (char === "\\" && '$`"\\'.includes(line[at + 1] ?? " ")) {
      text += line[at + 1];
      at += 1;
      continue;
    }
    demandLiteral(char);
    text += char;
  }
  throw new ShellSyntaxError("a quote is not closed");
}

function demandLiteral(char: string): void {
  if (char === "$" || char === "`" || char === "(" || char === ")") {
    throw new ShellSyntaxError(
      `this is the sandbox's small shell: "${char}" needs quotes, there are no expansions`,
    );
  }
}
