import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import * as v from "valibot";
import { formatMark, parseMark, type RunMark, runMark } from "../run-mark.ts";

const JournalSchema = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({
    runs: v.array(
      v.object({
        id: v.string(),
        since: v.string(),
        guests: v.array(v.number()),
        mark: v.optional(v.pipe(v.string(), v.transform(parseMark))),
      }),
    ),
  }),
);

/** A run that has begun to make VMs and has not come to its end. */
export interface BegunRun {
  /** As the notes of its VMs have it. */
  readonly id: string;
  /** ISO 8601 */
  readonly since: string;
  /** Numbers of the VMs and templates that were there before. */
  readonly guests: readonly number[];
  /** Tells whether it still goes on; journals of former releases lack it. */
  readonly mark?: RunMark | undefined;
}

/**
 * What was begun and did not end well. OpenTofu writes a VM into its state once it is made: killed before that, it leaves
 * one that no state knows. Only what is written here is taken for such a one, never a VM of a state that somebody has lost.
 */
export class Journal {
  readonly #file: string;

  /** @param file beside the state, or in the project's own folder */
  constructor(file: string) {
    this.#file = file;
  }

  /** The runs that have not ended; none where the file is missing or says something else. */
  begun(): readonly BegunRun[] {
    try {
      return v.parse(JournalSchema, readFileSync(this.#file, "utf8")).runs;
    } catch {
      return [];
    }
  }

  /** This run is about to make VMs. */
  begin(guests: readonly number[]): void {
    const { id, since } = runMark();
    const before = this.begun().filter((run) => run.id !== id);
    const runs = [...before, { id, since, guests, mark: runMark() }].map(({ mark, ...run }) => ({
      ...run,
      ...(mark === undefined ? {} : { mark: formatMark(mark) }),
    }));
    mkdirSync(dirname(this.#file), { recursive: true, mode: 0o700 });
    const draft = `${this.#file}.new`;
    writeFileSync(draft, JSON.stringify({ runs }), { mode: 0o600 });
    renameSync(draft, this.#file);
  }

  /** All that was begun is in the state now. */
  end(): void {
    rmSync(this.#file, { force: true });
  }
}
