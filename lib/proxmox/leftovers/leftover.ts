import { goesOn, type RunMark } from "../../run-mark.ts";

/** Something that a run which did not end well has left on a node. */
export interface Leftover {
  readonly kind:
    | "VM of an upload"
    | "VM of a build"
    | "half-made VM"
    | "sent image"
    | "image to import"
    | "marks of an upload"
    | "unused disk";
  /** How people find it on the node: "VM 9002 (alma9-…)", a path, a volume. */
  readonly name: string;
  /** Bytes, where they are known. */
  readonly bytes?: number | undefined;
  /** Which run it was, its number where no more is known. */
  readonly run?: RunMark | string | undefined;
  /** Why it is not to be removed now; undefined when it may be. */
  readonly busy: string | undefined;
  /** What speaks against its being left by a run: it goes only when a person says so of this one thing. */
  readonly doubt?: string | undefined;
  /**
   * Look once more, for questions stand for as long as they like, and remove it if it is still what was found.
   * @returns why it was left alone after all; undefined once it is gone
   */
  remove(signal: AbortSignal): Promise<string | undefined>;
}

/** Whether an upload of an image of that name holds its lock now. */
export type LockLook = (name: string, signal: AbortSignal) => Promise<boolean>;

export const LOCK_HELD = "an upload holds the lock of its name";
export const GONE = "it is gone already";

/** Runs of other machines that began as long ago are taken for ended where nothing speaks against it. */
const LONG_MS = 24 * 60 * 60_000;

interface Seen {
  /** The node's time: milliseconds since the epoch. */
  now(): number;
  /** Left out where nobody can log in and look. */
  readonly isLocked: LockLook | undefined;
}

/**
 * Why something that an upload has made is not to be removed: the upload may still be under way. That it is not is known
 * for runs of this machine alone. Uploads by the API hold no lock, so that a lock which is free does not tell.
 * @param name of the image
 */
export async function busyUpload(
  name: string,
  run: RunMark,
  { now, isLocked }: Seen,
  signal: AbortSignal,
): Promise<string | undefined> {
  const locked = await isLocked?.(name, signal);
  if (locked) return LOCK_HELD;
  const here = goesOn(run);
  if (here !== undefined) return here ? `process ${run.pid} is at it` : undefined;
  if (now() - Date.parse(run.since) < LONG_MS)
    return `it may go on at ${run.by}: leftovers knows when it is run there; here it counts as left once it is a day old`;
  return locked === undefined
    ? `it may go on at ${run.by}: whether its lock is free, SSH to the node would tell`
    : undefined;
}
