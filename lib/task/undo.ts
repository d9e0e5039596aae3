import { messageOf } from "../errors.ts";

/** What is done when the list fails: the line that tells of it. */
type Unwinding = () => Promise<string>;

/** What a list of steps has made so far, and the list around it. */
export class UndoScope {
  readonly #unwindings: Unwinding[] = [];
  readonly #parent: UndoScope | undefined;

  constructor(parent?: UndoScope) {
    this.#parent = parent;
  }

  add(description: string, action: () => Promise<void>): void {
    this.#unwindings.push(async () => {
      try {
        await action();
        return `Rolled back: ${description}`;
      } catch (error) {
        return `Left behind (not "${description}"): ${messageOf(error)}`;
      }
    });
  }

  /** Something stays on purpose; `describe` says what. */
  addStaying(describe: () => Promise<string>): void {
    this.#unwindings.push(describe);
  }

  /** The list has ended well: what it made stays. */
  keep(): void {
    this.#unwindings.length = 0;
  }

  /**
   * Undo everything of this list and of those around it, newest first. Runs once: a second call finds nothing.
   * @returns one line for each thing undone, or left behind because undoing it failed
   */
  async unwind(): Promise<string[]> {
    const lines: string[] = [];
    for (let unwind = this.#unwindings.pop(); unwind !== undefined; unwind = this.#unwindings.pop()) {
      lines.push(await unwind());
    }
    return [...lines, ...((await this.#parent?.unwind()) ?? [])];
  }
}
