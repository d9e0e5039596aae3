import { Duplex } from "node:stream";

/** Two ends of a connection within this process: what one writes the other reads. */
export function duplexPair(): [Duplex, Duplex] {
  const one = new End();
  const other = new End();
  one.other = other;
  other.other = one;
  return [one, other];
}

class End extends Duplex {
  other: End | undefined;
  #waiting: (() => void) | undefined;

  override _read(): void {
    // The reader has room again: let the other side go on.
    const go = this.#waiting;
    this.#waiting = undefined;
    go?.();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.other?.deliver(chunk, done);
  }

  override _final(done: () => void): void {
    this.other?.deliver(null, () => {});
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    // A connection that one side drops is gone for the other.
    this.other?.deliver(null, () => {});
    done(error);
  }

  deliver(chunk: Buffer | null, done: () => void): void {
    if (this.readableEnded || this.destroyed || this.push(chunk)) done();
    else this.#waiting = done;
  }
}
