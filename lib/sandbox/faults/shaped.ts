import type { Socket } from "node:net";
import { Duplex } from "node:stream";

/** How a connection is worse than a loopback's. */
export interface Shape {
  /** Milliseconds that a round trip takes longer. */
  readonly delay: number;
  /** Bytes a second in each direction. */
  readonly rate: number;
  /** It breaks once the client has sent so many bytes. */
  readonly drop: number;
}

interface Waiting {
  /** When it may be read: milliseconds of `performance.now`. */
  readonly at: number;
  /** null for the end. */
  readonly chunk: Buffer | null;
}

/** So much is taken in ahead of time; more waits in the socket, and with that at the client. */
const AHEAD = 1024 ** 2;

/** A connection as it would be over a network of that shape. What the client sends is held back, what it gets is not. */
export class Shaped extends Duplex {
  readonly #socket: Socket;
  readonly #shape: Shape;
  #queue: Waiting[] = [];
  #queued = 0;
  #received = 0;
  #due = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(socket: Socket, shape: Shape) {
    super();
    this.#socket = socket;
    this.#shape = shape;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("end", () => this.#enqueue(null));
    socket.on("error", (error) => this.destroy(error));
    socket.on("close", () => this.destroy());
  }

  override _read(): void {
    this.#deliver();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    const wait = (chunk.length / this.#shape.rate) * 1000;
    const send = (): void => void this.#socket.write(chunk, done);
    if (wait < 1) send();
    else setTimeout(send, wait);
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.#timer);
    this.#socket.destroy();
    done(error);
  }

  #receive(chunk: Buffer): void {
    this.#received += chunk.length;
    if (this.#received > this.#shape.drop) {
      this.#socket.resetAndDestroy();
      return;
    }
    this.#enqueue(chunk);
    if (this.#queued > AHEAD) this.#socket.pause();
  }

  #enqueue(chunk: Buffer | null): void {
    const size = chunk?.length ?? 0;
    const now = performance.now();
    this.#due = Math.max(this.#due, now) + (size / this.#shape.rate) * 1000;
    this.#queue.push({ at: this.#due + this.#shape.delay, chunk });
    this.#queued += size;
    this.#deliver();
  }

  #deliver(): void {
    clearTimeout(this.#timer);
    for (let first = this.#queue[0]; first !== undefined; first = this.#queue[0]) {
      const wait = first.at - performance.now();
      if (wait > 0) {
        this.#timer = setTimeout(() => this.#deliver(), wait);
        return;
      }
      this.#queue.shift();
      this.#queued -= first.chunk?.length ?? 0;
      if (this.#queued <= AHEAD) this.#socket.resume();
      if (!this.push(first.chunk)) return;
    }
  }
}
