import { UsageError } from "../errors.ts";
import type { Asker } from "../prompt.ts";

export type { Asker } from "../prompt.ts";

interface Asking {
  readonly yes: boolean;
  readonly step: string;
  /** Whether a list is drawn, which then shows the question too. */
  readonly drawn: boolean;
  /** Takes the question back. */
  readonly signal: AbortSignal;
}

/**
 * The questions a step may ask, asked inside the drawn list so that neither overwrites the other.
 * @param task the running listr2 task
 */
export function askIn(task: Asker, { yes, step, drawn, signal }: Asking) {
  return {
    async confirm(question: string): Promise<boolean> {
      if (yes) return true;
      requireTerminal(step, question, "Run it again with --yes to answer yes");
      const { confirmInTask } = await import("../prompt.ts");
      return await confirmInTask(task, question, { drawn, signal });
    },
    async offer(question: string): Promise<boolean> {
      if (yes || !hasTerminal()) return false;
      const { confirmInTask } = await import("../prompt.ts");
      return await confirmInTask(task, question, { drawn, signal });
    },
    async typed(question: string, word: string): Promise<boolean> {
      requireTerminal(step, question, "Run it on a terminal");
      const { typedInTask } = await import("../prompt.ts");
      return await typedInTask(task, question, word, { drawn, signal });
    },
  };
}

/** Whether somebody can be asked: keys are read from stdin, questions are shown on stderr. */
export function hasTerminal(): boolean {
  return process.stdin.isTTY && process.stderr.isTTY;
}

function requireTerminal(step: string, question: string, todo: string): void {
  if (hasTerminal()) return;
  throw new UsageError({
    what: `"${step}" needs an answer`,
    why: `There is no terminal to ask: ${question}`,
    todo: [todo],
  });
}
