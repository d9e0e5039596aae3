/** What a person needs to know about a failure, in the order they ask for it. */
export interface Failure {
  /** What failed, as a sentence without a full stop: "The image was not uploaded". */
  readonly what: string;
  /** Why, in the outside tool's own words where there are any. Secrets are removed when it is shown. */
  readonly why?: string;
  /** What to do now: sentences, or commands ready to paste (lines that begin with "$ "). */
  readonly todo?: readonly string[];
  /** What was left behind or rolled back, one line each. */
  readonly left?: readonly string[];
  /** For machines: more fields of the result event. */
  readonly data?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/** A failure that a person can meet and act upon. Anything else that is thrown is a bug of ours. */
export class TaskError extends Error {
  override readonly name: string = "TaskError";
  readonly what: string;
  readonly why: string | undefined;
  readonly todo: readonly string[];
  readonly left: readonly string[];
  readonly data: Readonly<Record<string, unknown>>;
  /** 1: a step failed. */
  readonly exitCode: 1 | 2 | 130 = 1;

  constructor(failure: Failure) {
    super(failure.why ? `${failure.what}: ${failure.why}` : failure.what, { cause: failure.cause });
    this.what = failure.what;
    this.why = failure.why;
    this.todo = failure.todo ?? [];
    this.left = failure.left ?? [];
    this.data = failure.data ?? {};
  }

  /** The same failure with more lines about what was left behind or rolled back. */
  withLeft(lines: readonly string[]): TaskError {
    return this.changed({ left: [...this.left, ...lines] });
  }

  /** The same failure with other advice. */
  withTodo(todo: readonly string[]): TaskError {
    return this.changed({ todo });
  }

  /** A copy of the same kind that says something else in part. */
  protected changed(changes: Partial<Failure>): TaskError {
    const { what, why, todo, left, data, cause } = this;
    const same = this.make({
      what,
      ...(why === undefined ? {} : { why }),
      todo,
      left,
      data,
      cause,
      ...changes,
    });
    // Where it came from, not where it was added to.
    if (this.stack !== undefined) same.stack = this.stack;
    return same;
  }

  /** Kinds that are made of more than a failure make their own copies. */
  protected make(failure: Failure): TaskError {
    const Kind = this.constructor as new (failure: Failure) => TaskError;
    return new Kind(failure);
  }
}

/** Wrong usage or configuration: nothing was started, the person has to change what they gave us. */
export class UsageError extends TaskError {
  override readonly name = "UsageError";
  override readonly exitCode = 2;

  /** The same, met by a check whose business it is to find such things. */
  asFinding(): TaskError {
    const { what, why = "", todo, left, cause } = this;
    return new TaskError({ what, why, todo, left, cause });
  }
}

/** The person pressed Ctrl-C (or the process was told to end). */
export class InterruptedError extends TaskError {
  override readonly name = "InterruptedError";
  override readonly exitCode = 130;

  constructor(failure: Partial<Failure> = {}) {
    super({ what: "Interrupted", ...failure });
  }
}

/**
 * The message of anything that was thrown.
 * @param error what a catch clause received
 */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
