import { existsSync } from "node:fs";
import { type Running, startCommand } from "./command-line.ts";

/** Why no terminal can be had here, or false. util-linux's `script` gives one; that of other systems is another. */
export const NO_TERMINAL: string | false =
  process.platform === "linux" && existsSync("/usr/bin/script") ? false : "script of util-linux is not there";

/**
 * Start a shell command in a terminal of its own, 100 columns wide. What is written to the child's stdin are the keys
 * that are pressed; what the terminal shows comes on stdout.
 */
export function startInTerminal(
  line: string,
  options: { readonly cwd?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Running {
  return startCommand("/usr/bin/script", ["-qefc", `stty cols 100 rows 30; exec ${line}`, "/dev/null"], {
    ...options,
    env: { TERM: "xterm", SHELL: "/bin/sh", ...options.env },
  });
}

/** What a terminal shows in the end: later lines overwrite earlier ones as listr2 moves up and clears. */
export function screenOf(output: string): string[] {
  const lines = [""];
  let row = 0;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: terminals are driven by them
  for (const [token] of output.matchAll(/\u001b\[[\d;?]*[A-Za-z]|\r?\n|[^\u001b\r\n]+|\r/g)) {
    if (token.endsWith("\n")) {
      row += 1;
      lines[row] ??= "";
    } else if (token === "\u001b[2K") lines[row] = "";
    else if (token === "\u001b[1A") row = Math.max(0, row - 1);
    else if (!token.startsWith("\u001b") && token !== "\r") lines[row] += token;
  }
  return lines.slice(0, row + 1).map((line) => line.trimEnd());
}
