import type { EventEmitter } from "node:events";
import { ListrEnquirerPromptAdapter } from "@listr2/prompt-adapter-enquirer";
import { Listr, type ListrPromptAdapter, PromptError } from "listr2";
import { InterruptedError } from "./errors.ts";

/** The one file of lib that asks people questions: enquirer is only known here. */

/** The part of a running listr2 task that can hold a question. */
export interface Asker {
  prompt(adapter: new (...args: never[]) => ListrPromptAdapter): unknown;
}

export interface PromptOptions {
  /** Whether a list is drawn: it shows the question below the step. Without one the question goes to stderr. */
  readonly drawn: boolean;
  /** Takes the question back. */
  readonly signal: AbortSignal;
}

/**
 * Ask yes or no inside a running step; no is the default.
 * @throws {InterruptedError} on Ctrl-C, or when the signal is aborted
 */
export async function confirmInTask(task: Asker, message: string, options: PromptOptions): Promise<boolean> {
  return await ask<boolean>(task, { type: "confirm", message, initial: false }, options);
}

/**
 * Ask for a word to be typed inside a running step.
 * @throws {InterruptedError} on Ctrl-C, or when the signal is aborted
 */
export async function typedInTask(
  task: Asker,
  message: string,
  word: string,
  options: PromptOptions,
): Promise<boolean> {
  return (await ask<string>(task, { type: "input", message }, options)).trim() === word;
}

/** A question that is answered by a line of text. */
export interface TextQuestion {
  readonly message: string;
  /** What an empty answer stands for. */
  readonly initial?: string;
  /** The answer is a secret: only asterisks are shown. */
  readonly secret: boolean;
  /** Why an answer cannot be taken, in which case it is asked for again; undefined for one that can. */
  refusal(answer: string): string | undefined;
}

/**
 * Ask for a line of text inside a running step, until it can be taken.
 * @returns the answer without blanks around it
 * @throws {InterruptedError} on Ctrl-C, or when the signal is aborted
 */
export async function textInTask(
  task: Asker,
  { message, initial, secret, refusal }: TextQuestion,
  options: PromptOptions,
): Promise<string> {
  const question: Question = {
    type: secret ? "password" : "input",
    message,
    ...(initial === undefined ? {} : { initial }),
    validate: (answer = "") => refusal(answer.trim()) ?? true,
  };
  return (await ask<string>(task, question, options)).trim();
}

/** Ask outside of any list: each question stays where it was asked, on stderr, with its answer. */
export async function interview<Result>(questions: (task: Asker) => Promise<Result>): Promise<Result> {
  const results: Result[] = [];
  const task = async (_context: unknown, asker: Asker): Promise<void> => {
    results.push(await questions(asker));
  };
  await new Listr([{ title: "Questions", task }], {
    renderer: "silent",
    registerSignalListeners: false,
  }).run();
  const [result] = results;
  return result as Result;
}

type Question =
  | { readonly type: "confirm"; readonly message: string; readonly initial: boolean }
  | {
      readonly type: "input" | "password";
      readonly message: string;
      readonly initial?: string;
      readonly validate?: (answer?: string) => string | true;
    };

async function ask<Answer>(task: Asker, question: Question, options: PromptOptions): Promise<Answer> {
  const { drawn, signal } = options;
  signal.throwIfAborted();
  const release = keepSignals();
  const adapter = task.prompt(ListrEnquirerPromptAdapter) as ListrEnquirerPromptAdapter;
  const takeBack = (): void => adapter.cancel({ throw: true });
  signal.addEventListener("abort", takeBack, { once: true });
  try {
    return await adapter.run<Answer>(
      {
        ...question,
        onRun: () => {
          // Its type does not say that it is an emitter of events.
          (adapter.instance as unknown as EventEmitter).once("run", release);
        },
      },
      drawn ? {} : { stdout: process.stderr },
    );
  } catch (error) {
    if (error instanceof PromptError) throw new InterruptedError({ why: "No answer was given" });
    throw error;
  } finally {
    signal.removeEventListener("abort", takeBack);
  }
}

/**
 * enquirer ends the process on a signal by itself, before anything could be rolled back.
 * @returns takes its listeners off again, once they are there
 */
function keepSignals(): () => void {
  const names = ["SIGINT", "SIGTERM"] as const;
  const ours = new Set(names.flatMap((name) => process.listeners(name)));
  return () => {
    for (const name of names) {
      for (const listener of process.listeners(name)) if (!ours.has(listener)) process.off(name, listener);
    }
  };
}
