/** The tables of docs/specification.md, row by row. */

/** What has become of a requirement. */
export type State = "done" | "differs" | "planned" | "hardware";

/** A test that is named as proof: a file, and a title in it. */
export interface Proof {
  /** The link's target, relative to the page. */
  readonly file: string;
  readonly titles: readonly string[];
}

export interface Row {
  /** S-2.14: it stays when rows are added around it. */
  readonly number: string;
  readonly requirement: string;
  /** Targets of the links to what does it, relative to the page. */
  readonly files: readonly string[];
  readonly proofs: readonly Proof[];
  /** Titles that stand behind no link. */
  readonly strayTitles: readonly string[];
  /** Commands in the column of proofs: how a person with the hardware checks it. */
  readonly commands: readonly string[];
  readonly state: State;
  /** Links in the column of states: decisions. */
  readonly decisions: readonly string[];
  /** What the column of states says besides. */
  readonly remark: string;
}

export interface Tables {
  readonly rows: readonly Row[];
  /** Lines of tables that are no row: nothing is passed over. */
  readonly malformed: readonly string[];
}

const LINK = /\[[^\]]+\]\(([^)\s]+)\)/g;
const HEADER = "| no. | what the specification asks for | what does it | what proves it | state |";

/** Reads all tables of the page. */
export function readTables(page: string): Tables {
  const rows: Row[] = [];
  const malformed: string[] = [];
  for (const line of page.split("\n").filter((each) => each.startsWith("|"))) {
    if (line === HEADER || /^(\|-+)+\|$/.test(line)) continue;
    const row = readRow(line);
    if (row === undefined) malformed.push(line);
    else rows.push(row);
  }
  return { rows, malformed };
}

function readRow(line: string): Row | undefined {
  const cells = line.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
  const [before, number = "", requirement = "", does = "", proves = "", outcome = "", after] = cells;
  if (cells.length !== 7 || before !== "" || after !== "") return undefined;
  const state = (["done", "differs", "planned", "hardware"] as const).find((each) =>
    new RegExp(`^${each}(:|$)`).test(outcome),
  );
  if (!/^S-\d+\.\d\d$/.test(number) || requirement === "" || state === undefined) return undefined;
  return {
    number,
    requirement,
    files: targets(does),
    ...readProofs(proves),
    commands: [...proves.matchAll(/`([^`]+)`/g)].map(([, command = ""]) => command),
    state,
    decisions: targets(outcome),
    remark: outcome.replace(/^\w+:?/, "").trim(),
  };
}

function targets(cell: string): string[] {
  return [...cell.matchAll(LINK)].map(([, target = ""]) => target);
}

/** Each link, with the titles in quotes that follow it; quotes within a command are its own. */
function readProofs(cell: string): Pick<Row, "proofs" | "strayTitles"> {
  const text = cell.replace(/`[^`]*`/g, "");
  const links = [...text.matchAll(LINK)];
  const titlesIn = (part: string): string[] =>
    [...part.matchAll(/"((?:[^"\\]|\\.)+)"/g)].map(([, title = ""]) => title.replaceAll('\\"', '"'));
  return {
    proofs: links.map(({ 0: link, 1: file = "", index }, at) => ({
      file,
      titles: titlesIn(text.slice(index + link.length, links[at + 1]?.index)),
    })),
    strayTitles: titlesIn(text.slice(0, links[0]?.index)),
  };
}

/** How many rows are in each state. */
export function countStates(rows: readonly Row[]): Readonly<Record<State, number>> {
  const count = { done: 0, differs: 0, planned: 0, hardware: 0 };
  for (const { state } of rows) count[state] += 1;
  return count;
}
