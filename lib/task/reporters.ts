import { formatDuration } from "../duration.ts";
import { eventLine } from "./event-line.ts";
import type { Reporter, StepEvent } from "./step.ts";

/** How often a step's live line is repeated where it cannot be overwritten. */
const OUTPUT_EVERY_MS = 10_000;

const SIGNS = { started: "▸", done: "✔", skipped: "↓", failed: "✖" } as const;

/** For a terminal: listr2 draws the list, notes are kept until it is done. */
export class TerminalReporter implements Reporter {
  readonly drawsList = true;
  /** Notes that wait until the list is no longer redrawn; undefined while none is drawn. */
  #waiting: string[] | undefined;
  readonly #write: (line: string) => void;

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  step(): void {}
  output(): void {}

  note(line: string): void {
    if (this.#waiting) this.#waiting.push(line);
    else this.#write(`• ${line}`);
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
  /** Titles of the steps under way, the outermost first; empty once their heading stands. */
  readonly #open: string[] = [];

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  step({ title, depth, state, ms, reason }: StepEvent): void {
    this.#headings(depth);
    if (state === "started") {
      this.#lastOutput = performance.now();
      this.#open[depth] = title;
      return;
    }
    this.#open.length = depth;
    const time = ms >= 100 ? ` (${formatDuration(ms)})` : "";
    this.#write(
      `${"  ".repeat(depth)}${SIGNS[state]} ${title}${reason === undefined ? "" : `: ${reason}`}${time}`,
    );
  }

  /** A step that has steps of its own gets a line before the first of them. */
  #headings(depth: number): void {
    for (const [level, title] of this.#open.slice(0, depth).entries()) {
      if (title) this.#write(`${"  ".repeat(level)}${SIGNS.started} ${title}`);
      this.#open[level] = "";
    }
  }

  output(line: string, depth: number): void {
    if (performance.now() - this.#lastOutput < OUTPUT_EVERY_MS) return;
    this.#lastOutput = performance.now();
    this.#write(`${"  ".repeat(depth)}… ${line}`);
  }

  note(line: string): void {
    this.#write(`• ${line}`);
  }
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
