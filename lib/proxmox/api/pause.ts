import { setTimeout as sleep } from "node:timers/promises";

/** Wait. @throws what the signal was aborted with */
export async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(ms, undefined, { ...(signal ? { signal } : {}) }).catch((error: unknown) => {
    signal?.throwIfAborted();
    throw error;
  });
}
