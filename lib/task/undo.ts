import { messageOf } from "../errors.ts";

interface Undo {
  readonly description: string;
  readonly action: () => Promise<void>;
}

/** What a list of steps has made so far, and the list around it. */
export class UndoScope {
  readonly #undos: Undo[] = [];
  readonly #parent: UndoScope | undefined;

  constructor(parent?: UndoScope) {
    this.#parent = parent;
  }

  add(description: string, action: () => Promise<void>): void {
    this.#undos.push({ description, action });
  }

  /** The list has ended well: what it made stays. */
  keep(): void {
    this.#undos.length = 0;
  }

  /**
   * Undo everything of this list and of those around it, newest first. Runs once: a second call finds nothing.
   * @returns one line for each thing undone, or left behind because undoing it failed
   */
  async unwind(): Promise<string[]> {
    const lines: string[] = [];
    for (let undo = this.#undos.pop(); undo !== undefined; undo = this.#undos.pop()) {
      try {
        await undo.action();
        lines.push(`Rolled back: ${undo.description}`);
      } catch (error) {
        lines.push(`Left behind (not "${undo.description}"): ${messageOf(error)}`);
      }
    }
    return [...lines, ...((await this.#parent?.unwind()) ?? [])];
  }
}
