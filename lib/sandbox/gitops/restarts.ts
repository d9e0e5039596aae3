/** Milliseconds before what has ended is started again, twice as long each time. */
const FIRST_MS = 1_000;
const LONGEST_MS = 30_000;
/** Milliseconds after which what runs counts as sound: an end after that begins anew, as with a kubelet. */
const SOUND_MS = 600_000;

/** When something that has failed may be started again: later each time that it fails soon after its start. */
export class Restarts {
  readonly #now: () => number;
  #failures = 0;
  #notBefore = Number.NEGATIVE_INFINITY;
  #startedAt: number | undefined;

  /** @param now milliseconds, from a clock that nobody sets */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Whether a start may be tried now. */
  get due(): boolean {
    return this.#now() >= this.#notBefore;
  }

  /** A start has succeeded. */
  started(): void {
    this.#startedAt = this.#now();
  }

  /** A start has failed, or what was started has ended. */
  failed(): void {
    const now = this.#now();
    if (this.#startedAt !== undefined && now - this.#startedAt >= SOUND_MS) this.#failures = 0;
    this.#startedAt = undefined;
    this.#notBefore = now + Math.min(LONGEST_MS, FIRST_MS * 2 ** this.#failures);
    this.#failures += 1;
  }

  /** Try nothing for some milliseconds; that is no failure. */
  wait(ms: number): void {
    this.#notBefore = this.#now() + ms;
  }

  /** What failed is no longer wanted: the next start is the first. */
  forget(): void {
    this.#failures = 0;
    this.#startedAt = undefined;
    this.#notBefore = Number.NEGATIVE_INFINITY;
  }
}
