import { styleText } from "node:util";
import type { CheckResult, Finding } from "../../lib/check/index.ts";

/** How a report is written. */
export interface ReportStyle {
  readonly color: boolean;
  /** The terminal's width; without one, lines are as long as they are. */
  readonly columns?: number;
}

/** The failures last, and so nearest to where the cursor is. */
const STATES = [
  { state: "ok", sign: "•", color: "dim", words: "" },
  { state: "warning", sign: "⚠", color: "yellow", words: "" },
  { state: "unavailable", sign: "⚠", color: "yellow", words: "not checked in full" },
  { state: "failed", sign: "✖", color: "red", words: "failed" },
] as const satisfies readonly {
  state: Finding["state"];
  sign: string;
  color: Parameters<typeof styleText>[0];
  words: string;
}[];

/**
 * What all checks have found, as people read it, check by check; each with what was seen and what to do.
 * @param results in the order of the list
 */
export function report(
  results: readonly CheckResult[],
  { color, columns = Number.POSITIVE_INFINITY }: ReportStyle,
): string {
  const paint = (format: Parameters<typeof styleText>[0], text: string): string =>
    color ? styleText(format, text) : text;
  const linesOf = ({ evidence, fix }: Finding): string[] => [
    ...evidence.split("\n").flatMap((line) => indented(line, "    ", "    ", columns)),
    ...fix.flatMap((line) =>
      line.startsWith("$ ")
        ? [`      ${line}`]
        : indented(line, `    → `, "      ", columns).map((each) => each.replace("→", paint("dim", "→"))),
    ),
  ];
  const block = (
    { name }: CheckResult,
    findings: readonly Finding[],
    at: (typeof STATES)[number],
  ): string => {
    const words = at.words === "" ? "" : `  ${paint("dim", at.words)}`;
    const heading = `${paint(at.color, at.sign)} ${paint("bold", name)}${words}`;
    return [heading, ...findings.flatMap(linesOf)].join("\n");
  };
  return STATES.flatMap((at) =>
    results.flatMap((result) => {
      const findings = result.findings.filter(({ state }) => state === at.state);
      return findings.length === 0 ? [] : [block(result, findings, at)];
    }),
  ).join("\n\n");
}

/** A line broken between words where it is too long; one that is indented is a tool's drawing, and stays. */
function indented(text: string, first: string, rest: string, columns: number): string[] {
  if (/^\s/.test(text)) return [`${rest}${text}`];
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const start = lines.length === 0 ? first : rest;
    if (line !== "" && start.length + line.length + 1 + word.length > columns) {
      lines.push(`${start}${line}`);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, `${lines.length === 0 ? first : rest}${line}`].map((each) => each.trimEnd());
}
