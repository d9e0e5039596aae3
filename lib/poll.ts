import { setTimeout as sleep } from "node:timers/promises";
import type { TaskError } from "./errors.ts";

/** How long something is waited for. */
export interface Patience {
  readonly timeoutMs: number;
  /** Milliseconds between two tries; one second when left out. */
  readonly everyMs?: number;
  readonly signal: AbortSignal;
}

/** An attempt: what was waited for, or why it is not there yet. */
export type Attempt<Value> = { readonly value: Value } | { readonly pending: string };

/**
 * Try until it is there.
 * @param attempt called again and again; what it throws ends the waiting
 * @param late makes the error from the last reason why it was not there
 * @throws {TaskError} once the time is up
 */
export async function pollUntil<Value>(
  attempt: () => Promise<Attempt<Value>>,
  { timeoutMs, everyMs = 1000, signal }: Patience,
  late: (pending: string) => TaskError,
): Promise<Value> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    signal.throwIfAborted();
    const outcome = await attempt();
    if ("value" in outcome) return outcome.value;
    if (performance.now() + everyMs > deadline) throw late(outcome.pending);
    await sleep(everyMs, undefined, { signal });
  }
}
