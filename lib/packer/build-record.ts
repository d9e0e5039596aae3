import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { TaskError } from "../errors.ts";
import { pollUntil } from "../poll.ts";
import { processIdentity } from "../process-identity.ts";
import { goesOn, type RunMark, runMark } from "../run-mark.ts";

/** An installation may take two hours until SSH answers (ssh_timeout); what comes behind it takes less. */
const PATIENCE_MS = 4 * 60 * 60_000;

const text = v.string();
const recordSchema = v.pipe(
  text,
  v.parseJson(),
  v.object({
    run: v.object({ id: text, by: text, pid: v.number(), identity: text, since: text }),
    inputs: text,
    packer: v.optional(v.object({ pid: v.number(), identity: text })),
  }),
);

/** A build that was begun and whose task has not come to its end. */
export interface BegunBuild {
  readonly run: RunMark;
  /** Differs for each set of things the image is made from. */
  readonly inputs: string;
  /** Left out until Packer was started. */
  readonly packer?: { readonly pid: number; readonly identity: string } | undefined;
}

/** What is known of a run that something was made by. */
export type Fate = "ended" | "goes on" | "unknown";

/**
 * What is written down of a build, in the folder of its logs, until its task has come to its end: so that whoever comes
 * after a kill can tell a build that goes on from one that is dead. Packer comes to its end also when the task is killed.
 */
export class BuildRecord {
  readonly #file: string;

  /** @param folder the one of the build's logs; it is made */
  constructor(folder: string) {
    this.#file = join(folder, "run.json");
  }

  /** What was begun and has not ended; undefined where nothing was, or the file says something else. */
  read(): BegunBuild | undefined {
    try {
      return v.parse(recordSchema, readFileSync(this.#file, "utf8"));
    } catch {
      return undefined;
    }
  }

  /** Packer is about to be started. */
  begin(inputs: string): void {
    this.#write({ run: runMark(), inputs });
  }

  /** It was. */
  packerRuns(pid: number): void {
    const begun = this.read();
    if (begun !== undefined) this.#write({ ...begun, packer: { pid, identity: processIdentity(pid) ?? "" } });
  }

  /** The task has come to its end. */
  end(): void {
    rmSync(this.#file, { force: true });
  }

  /** Of a run, by its eight digits: known for those alone that were begun in this clone, on this machine. */
  fateOf(run: string | undefined): Fate {
    const begun = this.read();
    if (begun === undefined || begun.run.id !== run) return "unknown";
    const task = goesOn(begun.run);
    if (task === true || this.packer() !== undefined) return "goes on";
    // Killed while it started Packer: nobody knows whether there is one.
    return task === undefined || begun.packer === undefined ? "unknown" : "ended";
  }

  /** The process of a Packer that is at work; on this machine alone. */
  packer(): number | undefined {
    const begun = this.read();
    if (begun?.packer === undefined || goesOn(begun.run) === undefined) return undefined;
    const { pid, identity } = begun.packer;
    return processIdentity(pid) === identity ? pid : undefined;
  }

  /**
   * Wait for the Packer that a killed run has left at work: it ends what it has begun.
   * @param what "the image NAME"
   * @param say told once that it is waited for
   * @throws {TaskError} when it does not end
   */
  async untilPackerEnds(
    what: string,
    { signal, say }: { readonly signal: AbortSignal; say(line: string): void },
  ): Promise<void> {
    let said = false;
    await pollUntil(
      async () => {
        const pid = this.packer();
        if (pid === undefined) return { value: true };
        const pending = `Packer of a run that was killed still builds ${what} (process ${pid})`;
        if (!said) say(`${pending}; waiting until it has ended. To end it: kill -INT -- -${pid}`);
        said = true;
        return { pending };
      },
      { timeoutMs: PATIENCE_MS, everyMs: 250, signal },
      (why) =>
        new TaskError({
          what: `${what} is still being built`,
          why,
          todo: [
            "See what it does, and end it if it hangs:",
            `$ ps -o pid,lstart,args -p ${this.packer() ?? ""}`,
            `$ kill -INT -- -${this.packer() ?? ""}`,
          ],
          left: ["Nothing was changed"],
        }),
    );
  }

  #write(begun: BegunBuild): void {
    mkdirSync(join(this.#file, ".."), { recursive: true, mode: 0o700 });
    const draft = `${this.#file}.new`;
    writeFileSync(draft, JSON.stringify(begun), { mode: 0o600 });
    renameSync(draft, this.#file);
  }
}
