import type { FaultRule } from "../../lib/sandbox/index.ts";
import type { TASKS } from "./tasks.ts";
import type { FaultWorld } from "./world.ts";

/** Something that goes wrong in real life. */
export interface Fault {
  readonly name: string;
  /** What the sandbox does. */
  readonly rules?: readonly FaultRule[];
  /** Settings that lead to where it is. */
  readonly env?: Readonly<Record<string, string>>;
  /** Shell words before the task's: limits that it runs under. */
  readonly shell?: string;
  /** Anything else; resolves to what ends it. */
  arrange?(world: FaultWorld): Promise<() => Promise<void>>;
}

export type TaskName = keyof typeof TASKS;

/**
 * What has become of node, state and files once a task has failed: nothing differs; nothing differs any more, and it
 * tells what it took back; or it tells what stays, and running it again without the fault ends well.
 */
export type Aftermath = "unchanged" | "rolled back" | "resumable";

export interface Failing {
  readonly exit: 1 | 2;
  readonly what: RegExp;
  readonly why: RegExp;
  readonly todo?: RegExp;
  readonly left?: RegExp;
  readonly then: Aftermath;
}

/** The fault is overcome, and the work is done. */
export interface Surviving {
  readonly exit: 0;
  /** In what it says or in its result. */
  readonly said?: RegExp;
  /** What it could not do under this fault is not asked for. */
  readonly inPart?: true;
}

export type Expected = Failing | Surviving;

/** One cell of the matrix. */
export interface Pair {
  readonly task: TaskName;
  readonly fault: Fault;
  readonly expected: Expected;
  /** It takes longer than others of its kind: `npm test` leaves it out, `npm run test:faults` does not. */
  readonly slow: boolean;
}

/** @param then what has become of node, state and files */
export function fails(
  then: Aftermath,
  what: RegExp,
  why: RegExp,
  more: Pick<Failing, "todo" | "left"> & { readonly exit?: 1 | 2 } = {},
): Failing {
  return { exit: 1, what, why, then, ...more };
}

/** @param said in what it says or in its result */
export function survives(said?: RegExp): Surviving {
  return { exit: 0, ...(said === undefined ? {} : { said }) };
}

/** It does what can be done, and says what it could not. */
export function survivesInPart(said: RegExp): Surviving {
  return { exit: 0, said, inPart: true };
}

/** Pairs of one task. */
export function pairs(
  task: TaskName,
  cells: readonly (readonly [fault: Fault, expected: Expected, slow?: "slow"])[],
): Pair[] {
  return cells.map(([fault, expected, slow]) => ({ task, fault, expected, slow: slow !== undefined }));
}
