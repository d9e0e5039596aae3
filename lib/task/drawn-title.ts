import { styleText } from "node:util";
import { formatDuration } from "../duration.ts";

/** The part of a listr2 task whose title can be changed while it is drawn. */
export interface Titled {
  title?: string | undefined;
}

/** Times below this say nothing. */
const WORTH_SAYING_MS = 1000;

/**
 * A step's title in the drawn list: its notes stand below it, so that a person has read them when the next step asks
 * something; its time, and what is not as it should be, are added once they are known.
 */
export class DrawnTitle {
  readonly #task: Titled;
  readonly #title: string;
  readonly #always: boolean;
  readonly #notes: string[] = [];
  #time = "";

  /** @param always show the time, however short, in a column */
  constructor(task: Titled, title: string, always = false) {
    this.#task = task;
    this.#title = title;
    this.#always = always;
  }

  note(text: string): void {
    this.#notes.push(...text.split("\n"));
    this.#draw();
  }

  took(ms: number, warning?: string): void {
    const time = formatDuration(ms);
    if (this.#always) this.#time = `  ${time.padStart(6)}`;
    else if (ms >= WORTH_SAYING_MS) this.#time = ` [${time}]`;
    if (warning !== undefined) this.#time += `  ${styleText("yellow", `⚠ ${warning}`)}`;
    this.#draw();
  }

  #draw(): void {
    // listr2 indents what follows the first line.
    this.#task.title = [this.#title + this.#time, ...this.#notes].join("\n");
  }
}
