/** What a check has seen: "ok" for evidence that is worth telling although nothing is wrong. */
export type FindingState = "ok" | "warning" | "unavailable" | "failed";

/** What can be repaired without harm, once a person agrees. */
export interface Repair {
  /** What is done, as a step's title: "Add snippets to what the storage local takes". */
  readonly title: string;
  /** What it comes to: commands ready to paste (lines that begin with "$ "), or sentences. */
  readonly shows: readonly string[];
  readonly question: string;
  /** Only somebody who looks at it can say yes: --yes does not. */
  readonly looked?: true;
  /**
   * Do it.
   * @returns settings that have another value from now on, by name
   * @throws {TaskError} when it failed
   */
  run(signal: AbortSignal): Promise<Readonly<Record<string, string>>>;
}

/** One thing that a check has seen. */
export interface Finding {
  readonly state: FindingState;
  /** What was seen, in the outside tool's own words: file and line, the node's answer. */
  readonly evidence: string;
  /** What to do about it: sentences, or commands ready to paste (lines that begin with "$ "). */
  readonly fix: readonly string[];
  /** Of what is unavailable: its short name, as the list of what may be missing has it. */
  readonly missing?: string;
  /** How it is repaired here and now, where that is safe. */
  readonly repair?: Repair;
}

/** What a check may do while it runs. */
export interface CheckControl {
  /** Replace the live line under the check's title. */
  output(line: string): void;
  readonly signal: AbortSignal;
}

/** Something that can be checked by itself, changes nothing, and hides no other check when it fails. */
export interface Check {
  /** Short and stable: people and scripts choose by it. A group of checks shares what stands before a slash. */
  readonly name: string;
  /** What is true when nothing is found, as a short sentence. */
  readonly title: string;
  /** The tools and settings without which it cannot run. */
  readonly needs: readonly string[];
  /** Why it cannot run here, or has nothing to look at; false when it can. */
  skip?(): Promise<string | false> | string | false;
  /**
   * Look.
   * @throws {TaskError} for what failed and is the only thing to tell; {Unavailable} when a tool is not to be had
   */
  run(control: CheckControl): Promise<readonly Finding[]>;
}

export type CheckState = "passed" | "warning" | "unavailable" | "failed" | "skipped";

/** What became of a check. */
export interface CheckResult {
  readonly name: string;
  readonly title: string;
  readonly needs: readonly string[];
  readonly state: CheckState;
  /** Milliseconds it took. */
  readonly ms: number;
  readonly findings: readonly Finding[];
  /** Why it was skipped. */
  readonly reason?: string;
}

/** Thrown by a check whose tool is not to be had: that says nothing about what it would have looked at. */
export class Unavailable extends Error {
  override readonly name = "Unavailable";
  readonly finding: Finding;

  /**
   * @param missing the short name of what is missing
   * @param evidence why it is
   */
  constructor(missing: string, evidence: string, fix: readonly string[]) {
    super(evidence);
    this.finding = { state: "unavailable", evidence, fix, missing };
  }
}
