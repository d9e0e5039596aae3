import { styleText } from "node:util";
import type { CheckResult, Finding } from "../../lib/check/index.ts";
import { wrapped } from "../../lib/columns.ts";

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
  const block = ({ names, findings }: Told, at: (typeof STATES)[number]): string => {
    const words = at.words === "" ? "" : `  ${paint("dim", at.words)}`;
    const [first = "", ...rest] = indented(names.join(", "), "", "  ", columns - 2 - at.words.length);
    const heading = [paint("bold", first), ...rest.map((line) => paint("bold", line))].join("\n");
    return [`${paint(at.color, at.sign)} ${heading}${words}`, ...findings.flatMap(linesOf)].join("\n");
  };
  const width = Math.max(0, ...results.filter(isBrief).map(({ name }) => name.length));
  const rest = " ".repeat(width + 4);
  const brief = results.filter(isBrief).map(({ name, findings }) => {
    const lines = findings.flatMap(({ evidence }) => indented(evidence, "", "", columns - rest.length));
    const told = lines.map((line) => paint("dim", line)).join(`\n${rest}`);
    return `${paint("dim", "•")} ${name.padEnd(width)}  ${told}`;
  });
  const blocks = STATES.flatMap((at) => {
    const told = results.flatMap((result) => {
      const findings = result.findings.filter(({ state }) => state === at.state);
      return findings.length === 0 || isBrief(result) ? [] : [{ names: [result.name], findings }];
    });
    return together(told).map((each) => block(each, at));
  });
  return [...(brief.length === 0 ? [] : [brief.join("\n")]), ...blocks].join("\n\n");
}

/** What is said of one check, or of several alike. */
interface Told {
  readonly names: readonly string[];
  readonly findings: readonly Finding[];
}

/** All is well, and a line or two say what was seen. */
function isBrief({ findings }: CheckResult): boolean {
  return (
    findings.length > 0 &&
    findings.every(
      ({ state, fix, evidence }) => state === "ok" && fix.length === 0 && !evidence.includes("\n"),
    )
  );
}

/** Where several checks end at the same thing, it is told once. */
function together(told: readonly Told[]): Told[] {
  const groups = new Map<string, Told>();
  for (const { names, findings } of told) {
    const key = JSON.stringify(findings);
    groups.set(key, { names: [...(groups.get(key)?.names ?? []), ...names], findings });
  }
  return [...groups.values()];
}

/** A line broken between words where it is too long; one that is indented is a tool's drawing, and stays. */
function indented(text: string, first: string, rest: string, width: number): string[] {
  if (/^\s/.test(text)) return [`${rest}${text}`];
  return wrapped(text, width - rest.length).map((line, at) => `${at === 0 ? first : rest}${line}`.trimEnd());
}
