/** What is to go wrong with a task. */
export type TaskFault =
  /** It takes so many milliseconds longer. */
  | { readonly delay: number }
  /** It ends with this reason: at its beginning, tidied up as after any failure, or with everything done. */
  | { readonly fail: string; readonly when: "before" | "after" }
  /** Nobody knows of it any more, as if its process had been killed before its work or after it. */
  | { readonly vanish: "before" | "after" }
  /** It goes on until somebody stops it. */
  | { readonly hang: true };

/** Asked by the world before it does what may go wrong on purpose. */
export interface Interference {
  /** @param what the task's type and what it is about: "qmclone 9000" */
  task(what: string): readonly TaskFault[];
  /**
   * How many bytes a file that is about to be written may come to hold; undefined for any number.
   * @param path on the node
   */
  roomFor(path: string): number | undefined;
  /** Bytes that a storage is to have in all. */
  sizeOf(storage: string): number | undefined;
  /** Whether the storage cannot be reached. */
  isOffline(storage: string): boolean;
  /** Milliseconds that the node's clock is ahead of the host's. */
  clockAhead(): number;
  /** The version that the node says it is, "7.4-3"; undefined for its own. */
  version(): string | undefined;
  /** The flags of its processors, as /proc/cpuinfo has them; undefined for those of a usual one. */
  cpuFlags(): string | undefined;
}

/** A world where nothing goes wrong. */
export const undisturbed: Interference = {
  task: () => [],
  roomFor: () => undefined,
  sizeOf: () => undefined,
  isOffline: () => false,
  clockAhead: () => 0,
  version: () => undefined,
  cpuFlags: () => undefined,
};
