import { formatDuration } from "../duration.ts";
import { eventLine } from "./event-line.ts";
import { plain } from "./failure.ts";
import type { Reporter, StepEvent } from "./step.ts";

/** How often a step's live line is repeated where it cannot be overwritten. */
const OUTPUT_EVERY_MS = 10_000;

const WARNED = "⚠";
const SIGNS = { started: "▸", done: "✔", skipped: "↓", failed: "✖" } as const;

/** For a terminal: listr2 draws the list, with the steps' notes in it. */
export class TerminalReporter implements Reporter {
  readonly drawsList = true;
  /** What others than steps say waits until the list is no longer redrawn; undefined while none is drawn. */
  #waiting: string[] | undefined;
  readonly #write: (line: string) => void;

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  step(): void {}
  output(): void {}

  note(line: string): void {
    if (this.#waiting) this.#waiting.push(line);
    else this.#write(`• ${plain(line).replaceAll("\n", "\n  ")}`);
  }

  /** Draw a list with `run`; notes are shown when it is done. */
  async whileDrawing(run: () => Promise<void>): Promise<void> {
    this.#waiting = [];
    try {
      await run();
    } finally {
      const notes = this.#waiting;
      this.#waiting = undefined;
      for (const note of notes) this.note(note);
    }
  }
}

/** For logs and pipes: one line when a step has ended, its progress now and then. */
export class PlainReporter implements Reporter {
  readonly drawsList = false;
  readonly #write: (line: string) => void;
  #lastOutput = performance.now();
  /** Steps with steps of their own whose heading stands already, by the titles that lead to them. */
  readonly #headed = new Set<string>();

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  step({ title, name, depth, within, state, ms, reason, warning }: StepEvent, shown = title): void {
    this.#headings(within);
    if (state === "started") {
      this.#lastOutput = performance.now();
      return;
    }
    this.#headed.delete(pathOf([...within, title]));
    const indent = "  ".repeat(depth);
    if (name !== undefined) {
      const rest = reason ?? [formatDuration(ms).padStart(6), warning ?? ""].join("  ");
      this.#write(`${indent}${warning === undefined ? SIGNS[state] : WARNED} ${shown}  ${rest}`.trimEnd());
      return;
    }
    const time = ms >= 100 ? ` (${formatDuration(ms)})` : "";
    const more = reason ?? warning;
    this.#write(
      `${indent}${warning === undefined ? SIGNS[state] : WARNED} ${title}${more === undefined ? "" : `: ${more}`}${time}`,
    );
  }

  /** A step that has steps of its own gets a line before the first of them. */
  #headings(within: readonly string[]): void {
    for (const [level, title] of within.entries()) {
      const path = pathOf(within.slice(0, level + 1));
      if (this.#headed.has(path)) continue;
      this.#headed.add(path);
      this.#write(`${"  ".repeat(level)}${SIGNS.started} ${title}`);
    }
  }

  output(line: string, depth: number): void {
    if (performance.now() - this.#lastOutput < OUTPUT_EVERY_MS) return;
    this.#lastOutput = performance.now();
    this.#write(`${"  ".repeat(depth)}… ${line}`);
  }

  note(text: string): void {
    this.#write(`• ${plain(text).replaceAll("\n", "\n  ")}`);
  }
}

function pathOf(titles: readonly string[]): string {
  return titles.join("\0");
}

/** For machines: one JSON object a line, no prose. */
export class JsonReporter implements Reporter {
  readonly drawsList = false;
  readonly #write: (line: string) => void;

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  step(event: StepEvent): void {
    this.#write(eventLine({ event: "step", ...event }));
  }

  output(): void {}

  note(text: string): void {
    this.#write(eventLine({ event: "note", text }));
  }
}
