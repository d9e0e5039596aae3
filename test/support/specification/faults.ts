import { posix } from "node:path";
import { countStates, type Row, readTables } from "./rows.ts";
import { hasTitle, isTestFile } from "./titles.ts";

/** What docs/specification.md says and is not so. */

/** The text of a file by its path in the repository, undefined when it is not there; a folder's text is empty. */
export type ReadFile = (path: string) => string | undefined;

/** Fewer rows would not be the whole specification. */
const LEAST_ROWS = 110;

/**
 * Everything that is wrong with the page, one line each; nothing when it is true.
 * @param page the text of docs/specification.md
 */
export function faultsOf(page: string, read: ReadFile): string[] {
  const { rows, malformed } = readTables(page);
  const faults = malformed.map((line) => `no row of the table's form: ${line}`);
  if (rows.length < LEAST_ROWS) faults.push(`${rows.length} rows: ${LEAST_ROWS} or more are needed`);
  const seen = new Set<string>();
  for (const { number } of rows) {
    if (seen.has(number)) faults.push(`${number} is there twice`);
    seen.add(number);
  }
  for (const row of rows) faults.push(...faultsOfRow(row, read).map((fault) => `${row.number}: ${fault}`));
  const summary = summaryOf(rows);
  if (!page.includes(`\n${summary}\n`)) faults.push(`the page does not say "${summary}"`);
  return faults;
}

/** The sentence that the page begins with. */
export function summaryOf(rows: readonly Row[]): string {
  const { done, differs, planned, hardware } = countStates(rows);
  return `**${rows.length} requirements: ${done} done, ${differs} done otherwise, ${planned} planned, ${hardware} to be checked on hardware.**`;
}

function faultsOfRow(row: Row, read: ReadFile): string[] {
  const { files, proofs, strayTitles, commands, state, decisions, remark } = row;
  const textOf = (target: string): string | undefined => read(posix.join("docs", target.replace(/#.*$/, "")));
  const missing = [...files, ...decisions, ...proofs.map(({ file }) => file)]
    .filter((target) => textOf(target) === undefined)
    .map((target) => `${target} does not exist`);
  const named = strayTitles.map((title) => `"${title}" stands behind no link to a test`);
  const scripts = commands
    .map((command) => /^npm run ([\w:-]+)/.exec(command)?.[1])
    .filter((name) => name !== undefined && !isScript(name, read))
    .map((name) => `there is no script "${name}" in package.json`);
  return [
    ...missing,
    ...named,
    ...scripts,
    ...proofs.flatMap(({ file, titles }) => faultsOfProof(file, titles, textOf(file))),
    ...(state !== "planned" && files.length === 0 ? ["nothing is said to do it"] : []),
    ...((state === "done" || state === "differs") && proofs.length === 0 ? ["nothing proves it"] : []),
    ...(state === "hardware" && commands.length === 0 ? ["no command says how to check it"] : []),
    ...(state === "planned" && remark === "" ? ["nothing says what is planned"] : []),
    ...(state === "differs" && !decisions.some((target) => target.startsWith("decisions/"))
      ? ["no decision says what is done instead"]
      : []),
  ];
}

function faultsOfProof(file: string, titles: readonly string[], text: string | undefined): string[] {
  if (text === undefined) return [];
  if (!isTestFile(posix.join("docs", file))) return [`${file} is no test that is run`];
  if (titles.length === 0) return [`no test of ${file} is named`];
  return titles
    .filter((title) => !hasTitle(file, text, title))
    .map((title) => `${file} has no test "${title}"`);
}

function isScript(name: string, read: ReadFile): boolean {
  const { scripts } = JSON.parse(read("package.json") ?? "{}") as { scripts?: Record<string, string> };
  return scripts?.[name] !== undefined;
}
