import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../errors.ts";

/** How often something is tried, and how long the first pause is; each pause is twice the one before. */
export interface Retry {
  readonly attempts: number;
  readonly firstPauseMs: number;
  readonly signal: AbortSignal;
  /** Told why an attempt failed, and when the next one comes. */
  readonly onRetry?: (line: string) => void;
}

/**
 * Try something that the network may spoil, with pauses that double.
 * @throws what the last attempt threw
 */
export async function withRetries<Value>(
  action: () => Promise<Value>,
  { attempts, firstPauseMs, signal, onRetry }: Retry,
): Promise<Value> {
  for (let attempt = 1; ; attempt += 1) {
    signal.throwIfAborted();
    try {
      return await action();
    } catch (error) {
      signal.throwIfAborted();
      if (attempt >= attempts) throw error;
      const pause = firstPauseMs * 2 ** (attempt - 1);
      onRetry?.(`${messageOf(error)}; again in ${pause / 1000} s (${attempt} of ${attempts})`);
      await sleep(pause, undefined, { signal });
    }
  }
}
