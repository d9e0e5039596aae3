import { formatDuration } from "../duration.ts";

/** The part of a listr2 task whose title can be changed while it is drawn. */
export interface Titled {
  title?: string | undefined;
}

/** Times below this say nothing. */
const WORTH_SAYING_MS = 1000;

/**
 * A step's title in the drawn list: its notes stand below it, so that a person has read them when the next step asks
 * something; its time is added once it is known.
 */
export class DrawnTitle {
  readonly #task: Titled;
  readonly #title: string;
  readonly #notes: string[] = [];
  #time = "";

  constructor(task: Titled, title: string) {
    this.#task = task;
    this.#title = title;
  }

  note(text: string): void {
    this.#notes.push(...text.split("\n"));
    this.#draw();
  }

  took(ms: number): void {
    if (ms >= WORTH_SAYING_MS) this.#time = ` [${formatDuration(ms)}]`;
    this.#draw();
  }

  #draw(): void {
    // listr2 indents what follows the first line.
    this.#task.title = [this.#title + this.#time, ...this.#notes].join("\n");
  }
}
