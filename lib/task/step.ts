/** What a step may do while it runs. Steps never print: whoever runs them decides how to show it. */
export interface StepControl {
  /** Replace the live line under the step's title (a progress bar, the tool's latest words). */
  output(line: string): void;
  /** Say something that stays visible: a warning, a path, what to do later. */
  note(line: string): void;
  /** Say in a few words that the step went well, but not all is as it should be; shown beside its title. */
  warn(words: string): void;
  /**
   * Register how to undo what the step has just made. Runs, newest first, when this or a later step of the same
   * list (or of a list around it) fails or is interrupted; forgotten once the list has ended well.
   * @param description what will be gone, as a past participle clause: "VM 9002 removed"
   */
  undo(description: string, action: () => Promise<void>): void;
  /**
   * Register what stays on purpose when this or a later step fails or is interrupted, because running the task again goes
   * on from it.
   * @param describe a sentence: what it is, where it is, how it is removed; must not fail
   */
  stays(describe: () => Promise<string>): void;
  /**
   * Ask a yes-or-no question; true without asking when --yes was given.
   * @throws {UsageError} without a terminal and without --yes
   */
  confirm(question: string): Promise<boolean>;
  /**
   * Offer something that the task does not need: false without asking where nobody is there, or --yes was given, which
   * answers questions that somebody asked for.
   */
  offer(question: string): Promise<boolean>;
  /**
   * Ask the person to type a word, for what cannot be undone. --yes does not answer it.
   * @throws {UsageError} without a terminal
   */
  typed(question: string, word: string): Promise<boolean>;
  /** Aborted when the person presses Ctrl-C. */
  readonly signal: AbortSignal;
}

/** One step of a task: a title that reads as a sentence in the list, and what it does. */
export interface Step {
  readonly title: string;
  /** Short and stable, for steps that people choose by name: shown before the title, and the time always after it. */
  readonly name?: string;
  /** The reason why there is nothing to do (shown beside the title), or false. */
  skip?(): Promise<string | false> | string | false;
  /** Does the work; may return further steps, which are then shown and run below this one. */
  run(control: StepControl): Promise<void | readonly Step[]>;
  /** The commands the step would run, for --dry-run. */
  preview?(): readonly string[];
  /** What stays as it is when this step is interrupted, as a sentence. */
  readonly leaves?: string;
  /** Run the steps that `run` returns side by side; a failing one does not stop the others. */
  readonly parallel?: boolean;
}

/** What happened to a step. */
export interface StepEvent {
  readonly title: string;
  readonly name?: string;
  /** How deep below the task's own list: 0 for its steps, 1 for theirs. */
  readonly depth: number;
  /** The titles of the steps around it, the outermost first. */
  readonly within: readonly string[];
  readonly state: "started" | "done" | "skipped" | "failed";
  /** Milliseconds it took; 0 for one that has just started. */
  readonly ms: number;
  /** Why it was skipped. */
  readonly reason?: string;
  /** What is not as it should be, of one that is done. */
  readonly warning?: string;
}

/** Where a run of steps is shown. */
export interface Reporter {
  /** Whether listr2 draws the list itself (a terminal); events then need no lines of their own. */
  readonly drawsList: boolean;
  /** @param shown name and title as people see them, in columns with those beside it */
  step(event: StepEvent, shown?: string): void;
  output(line: string, depth: number): void;
  note(line: string): void;
}
