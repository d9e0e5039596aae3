import { styleText } from "node:util";
import type { CheckResult, Finding } from "../../lib/check/index.ts";

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
export function report(results: readonly CheckResult[], color: boolean): string {
  const paint = (format: Parameters<typeof styleText>[0], text: string): string =>
    color ? styleText(format, text) : text;
  const block = (
    { name }: CheckResult,
    findings: readonly Finding[],
    at: (typeof STATES)[number],
  ): string => {
    const lines = findings.flatMap(({ evidence, fix }) => [
      ...evidence.split("\n").map((line) => `    ${line}`.trimEnd()),
      ...fix.map((line) => (line.startsWith("$ ") ? `      ${line}` : `    ${paint("dim", "→")} ${line}`)),
    ]);
    const words = at.words === "" ? "" : `  ${paint("dim", at.words)}`;
    return [`${paint(at.color, at.sign)} ${paint("bold", name)}${words}`, ...lines].join("\n");
  };
  return STATES.flatMap((at) =>
    results.flatMap((result) => {
      const findings = result.findings.filter(({ state }) => state === at.state);
      return findings.length === 0 ? [] : [block(result, findings, at)];
    }),
  ).join("\n\n");
}
