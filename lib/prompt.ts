import { ListrEnquirerPromptAdapter } from "@listr2/prompt-adapter-enquirer";
import enquirer from "enquirer";
import { InterruptedError } from "./errors.ts";
import type { Asker } from "./task/ask.ts";

/** The one file of lib that asks people questions: enquirer is only known here. */

/**
 * Ask yes or no inside a running step; no is the default.
 * @throws {InterruptedError} on Ctrl-C
 */
export async function confirmInTask(task: Asker, question: string): Promise<boolean> {
  return await orInterrupted(
    adapter(task).run<boolean>({
      type: "confirm",
      message: question,
      initial: false,
      stdout: process.stderr,
    }),
  );
}

/**
 * Ask for a word to be typed inside a running step.
 * @throws {InterruptedError} on Ctrl-C
 */
export async function typedInTask(task: Asker, question: string, word: string): Promise<boolean> {
  const answer = await orInterrupted(adapter(task).run<string>({ type: "input", message: question }));
  return answer.trim() === word;
}

/** What to ask for when a setting is missing. */
export interface SettingQuestion {
  readonly name: string;
  readonly about: string;
  readonly example: string;
  readonly secret: boolean;
  /** A message when the text cannot be this setting's value, else undefined. */
  check(text: string): string | undefined;
}

/**
 * Ask for a setting's value, outside of any step. What is secret is not shown while it is typed.
 * @throws {InterruptedError} on Ctrl-C
 */
export async function askSetting(question: SettingQuestion): Promise<string> {
  const answer = await orInterrupted(
    enquirer.prompt<{ value: string }>({
      type: question.secret ? "password" : "input",
      name: "value",
      message: `${question.name} – ${question.about}${question.secret ? "" : ` (for example ${question.example})`}`,
      validate: (text: string) => question.check(text) ?? true,
      stdout: process.stderr,
    } as Parameters<typeof enquirer.prompt>[0]),
  );
  return answer.value;
}

/**
 * Ask yes or no outside of any step.
 * @throws {InterruptedError} on Ctrl-C
 */
export async function confirm(question: string): Promise<boolean> {
  const answer = await orInterrupted(
    enquirer.prompt<{ value: boolean }>({
      type: "confirm",
      name: "value",
      message: question,
      initial: false,
      stdout: process.stderr,
    } as Parameters<typeof enquirer.prompt>[0]),
  );
  return answer.value;
}

function adapter(task: Asker): ListrEnquirerPromptAdapter {
  return task.prompt(ListrEnquirerPromptAdapter) as ListrEnquirerPromptAdapter;
}

/** enquirer rejects with an empty string when the person presses Ctrl-C. */
async function orInterrupted<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (error === "" || error === undefined || error instanceof Error === false) {
      throw new InterruptedError({ why: "No answer was given" });
    }
    throw error;
  }
}
