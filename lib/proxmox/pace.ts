import { setTimeout as sleep } from "node:timers/promises";
import { transferLine } from "../progress.ts";

const PROGRESS_MS = 200;

export interface PaceOptions {
  /** Bytes of the whole. */
  readonly total: number;
  /** Bytes a second at most. */
  readonly limit?: number | undefined;
  readonly signal: AbortSignal;
  /** Told how far it is, several times a second. */
  output?(line: string): void;
}

/** Counts what has gone out, tells people, and holds it back where there is a limit. */
export class Pace {
  /** All bytes that went out. */
  bytes = 0;
  readonly #options: PaceOptions;
  readonly #started = performance.now();
  /** Bytes of the whole that were there when this connection began, and those that it has sent. */
  #before: number;
  #fresh = 0;
  #said = 0;

  /** @param before bytes of the whole that are there already */
  constructor(options: PaceOptions, before = 0) {
    this.#options = options;
    this.#before = before;
  }

  /** Another connection goes on. */
  restart(before: number): void {
    this.#before = before;
    this.#fresh = 0;
  }

  /** So many bytes have gone out; waits where that was faster than it may be. */
  async passed(bytes: number): Promise<void> {
    this.bytes += bytes;
    this.#fresh += bytes;
    const { limit, output, signal } = this.#options;
    const now = performance.now();
    if (now - this.#said >= PROGRESS_MS) {
      this.#said = now;
      output?.(this.#line((now - this.#started) / 1000));
    }
    if (limit === undefined) return;
    const due = this.#started + (this.bytes / limit) * 1000;
    if (due > now) await sleep(due - now, undefined, { signal });
  }

  /** Rate and time left follow from what this process has sent. */
  #line(seconds: number): string {
    const bytes = this.#before + this.#fresh;
    return transferLine({ bytes, total: this.#options.total, seconds, since: bytes - this.bytes });
  }
}
