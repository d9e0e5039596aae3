/** How PVE's tools draw what the API answers. */

/** A column: the member that it shows; figures stand on the right. */
export interface Column {
  readonly name: string;
  readonly figures?: boolean;
}

export interface TableStyle {
  /** Lines around the cells. */
  readonly border: boolean;
  readonly header: boolean;
}

type Row = Readonly<Record<string, unknown>>;

/** A table, its rows in the order of the first column; a cell may have several lines. */
export function table(
  columns: readonly Column[],
  rows: readonly Row[],
  style: TableStyle = { border: true, header: true },
): string {
  const [first] = columns;
  const cells = rows
    .map((row) => columns.map(({ name }) => textOf(row[name])))
    .sort(([a = ""], [b = ""]) => (first === undefined || a === b ? 0 : a < b ? -1 : 1));
  const widths = columns.map(({ name }, at) =>
    Math.max(name.length, ...cells.flatMap((row) => (row[at] ?? "").split("\n").map((line) => line.length))),
  );
  const pad = (text: string, at: number): string => {
    const width = widths[at] ?? 0;
    if (columns[at]?.figures === true) return text.padStart(width);
    return !style.border && at === columns.length - 1 ? text : text.padEnd(width);
  };
  const line = (row: readonly string[]): string => {
    const height = Math.max(...row.map((cell) => cell.split("\n").length));
    return Array.from({ length: height }, (_, index) => {
      const texts = row.map((cell, at) => pad(cell.split("\n")[index] ?? "", at));
      return style.border ? `│ ${texts.join(" │ ")} │\n` : `${texts.join(" ")}\n`;
    }).join("");
  };
  const rule = (left: string, stroke: string, cross: string, right: string): string =>
    style.border ? `${left}${widths.map((width) => stroke.repeat(width + 2)).join(cross)}${right}\n` : "";
  const head = style.header ? [line(columns.map(({ name }) => name)), rule("╞", "═", "╪", "╡")] : [];
  return [
    rule("┌", "─", "┬", "┐"),
    ...head,
    cells.map(line).join(rule("├", "─", "┼", "┤")),
    rule("└", "─", "┴", "┘"),
  ].join("");
}

function textOf(value: unknown): string {
  if (value === undefined || value === null) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
