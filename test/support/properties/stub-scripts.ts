import { SETTING_NAMES } from "../../../lib/config/index.ts";
import type { Violations } from "./mutation.ts";

/** What a script may do that does nothing: words of the shell, and of scripts/lib.sh, that change nothing on a machine. */
const IDLE =
  /^(?:#|set |source |\. |begin |log |echo |printf |exit\b|return\b|:|true\b|fi\b|if |then\b|else\b|require_|\}|\)|$)/;
const SETTINGS: readonly string[] = SETTING_NAMES;

/** Whether a script stands for something that is not, or not always, done: it says so, or it does nothing. */
export function isStub(text: string): boolean {
  const lines = text.split("\n").map((line) => line.trim());
  const saysSo = /\bstub\b|not (?:yet )?implemented/i.test(text);
  return saysSo || lines.every((line) => IDLE.test(line));
}

/**
 * What a stub's comments leave open. They have to tell at the top how it is enabled or extended, and name only variables
 * that there are.
 */
export function stubViolations(name: string, text: string): Violations {
  if (!isStub(text)) return [];
  const [, header = ""] = /^(?:#!.*\n)?((?:#.*\n)*)/.exec(text) ?? [];
  const comments = header.split("\n").map((line) => line.replace(/^#\s?/, ""));
  const at = comments.findIndex((line) => /^how to (?:enable|extend)\b/i.test(line.trim()));
  if (at === -1) return [`${name}: no comment says how to enable or extend it`];
  const instructions = comments.slice(at + 1).filter((line) => /^\s+(?:- )?\S+ \S+/.test(line));
  if (instructions.length === 0) return [`${name}: a heading, and nothing below it`];
  const body = text.slice(text.indexOf(header) + header.length);
  const named = [
    ...instructions.join("\n").matchAll(/\b([A-Z][A-Z0-9_]{2,})=|\bset ([A-Z][A-Z0-9_]{2,})\b/g),
  ];
  return named
    .map(([, assigned, set]) => assigned ?? set ?? "")
    .filter((variable) => !SETTINGS.includes(variable) && !new RegExp(`\\b${variable}\\b`).test(body))
    .map((variable) => `${name}: ${variable} is neither a setting nor read by the script`);
}
