import { setTimeout as sleep } from "node:timers/promises";

/** A lock was not had in time. */
export class LockTimeoutError extends Error {
  override readonly name = "LockTimeoutError";
}

/** Named locks within this process, served in the order of asking. */
export class Mutexes {
  readonly #tails = new Map<string, Promise<void>>();

  /**
   * Run an action while holding a lock.
   * @param timeoutMs how long to wait for the lock
   * @param timeoutMessage message of the error when it is not had in time
   * @throws {LockTimeoutError}
   */
  async run<T>(
    name: string,
    action: () => Promise<T> | T,
    timeoutMs: number,
    timeoutMessage: string,
  ): Promise<T> {
    const before = this.#tails.get(name) ?? Promise.resolve();
    const { promise: mine, resolve: release } = deferred();
    const tail = before.then(() => mine);
    this.#tails.set(name, tail);
    try {
      if (!(await settledWithin(before, timeoutMs))) throw new LockTimeoutError(timeoutMessage);
      return await action();
    } finally {
      release();
      if (this.#tails.get(name) === tail) this.#tails.delete(name);
    }
  }
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

async function settledWithin(promise: Promise<void>, timeoutMs: number): Promise<boolean> {
  const timer = new AbortController();
  const late = sleep(timeoutMs, false, { signal: timer.signal }).catch(() => false);
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    timer.abort();
  }
}
