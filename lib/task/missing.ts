import { join } from "node:path";
import { givenText, type SettingName, type Source, saveToDotenv, specOf } from "../config/index.ts";
import { InterruptedError, messageOf, UsageError } from "../errors.ts";
import type { Asker } from "../prompt.ts";
import { registerSecret } from "../secrets.ts";

/** What asking for settings needs. */
interface Asking {
  /** The repository's folder, where .env lies. */
  readonly root: string;
  /** What is given already, the strongest first. */
  readonly sources: readonly Source[];
  readonly signal: AbortSignal;
  /** Shows a line above the next question. */
  say(line: string): void;
}

/**
 * Ask for settings one after another, and offer to save the answers to .env.
 * @param names those that are missing
 * @returns the answers, as a source
 * @throws {InterruptedError} on Ctrl-C; nothing is saved then
 */
export async function askForSettings(names: readonly SettingName[], asking: Asking): Promise<Source> {
  // Loaded only now: enquirer takes longer to load than most commands take to start.
  const { interview } = await import("../prompt.ts");
  const values = await interview(async (task) => {
    const answers = await askEach(names, task, asking);
    await offerToSave(answers, task, asking);
    return answers;
  }).catch((error: unknown) => {
    if (!(error instanceof InterruptedError)) throw error;
    const { why } = error;
    throw new InterruptedError({ ...(why === undefined ? {} : { why }), left: ["Nothing was saved"] });
  });
  return { name: "your answers", values };
}

async function askEach(
  names: readonly SettingName[],
  task: Asker,
  { sources, signal, say }: Asking,
): Promise<Record<string, string>> {
  const { textInTask } = await import("../prompt.ts");
  const answers: Record<string, string> = {};
  const count = names.length === 1 ? "One setting is" : `${names.length} settings are`;
  say(`${count} missing (.env.example explains all of them).`);
  say("Ctrl-C ends this, and nothing is saved.");
  for (const name of names) {
    const { secret = false, parse, suggest } = specOf(name);
    const initial = suggest?.((other) => answers[other] ?? givenText(other as SettingName, sources));
    for (const line of explanation(name, initial)) say(line);
    const question = {
      message: name,
      ...(initial === undefined ? {} : { initial }),
      secret,
      refusal: (answer: string): string | undefined => {
        if (answer === "") return "It is needed";
        try {
          parse(answer);
          return undefined;
        } catch (error) {
          return `${name} is not valid: ${messageOf(error)}`;
        }
      },
    };
    const answer = await textInTask(task, question, { drawn: false, signal });
    if (secret) registerSecret(answer);
    answers[name] = answer;
  }
  return answers;
}

/** What a person has to know to answer. */
function explanation(name: SettingName, initial: string | undefined): string[] {
  const { about, where, example, secret } = specOf(name);
  return [
    "",
    `${name}: ${about}`,
    ...(where === undefined ? [] : [`  Where to get it: ${where}`]),
    initial === undefined ? `  Example: ${example}` : `  Default: ${initial} (Enter takes it)`,
    ...(secret ? ["  What you type is not shown"] : []),
  ];
}

async function offerToSave(
  answers: Readonly<Record<string, string>>,
  task: Asker,
  { root, signal, say }: Asking,
): Promise<void> {
  const { confirmInTask } = await import("../prompt.ts");
  const names = Object.keys(answers);
  const what = names.length === 1 ? "this answer" : `these ${names.length} answers`;
  say("");
  if (
    !(await confirmInTask(task, `Save ${what} to .env, readable by you alone?`, { drawn: false, signal }))
  ) {
    say("Not saved: they count for this run alone");
    return;
  }
  try {
    await saveToDotenv(join(root, ".env"), answers);
    say(`Saved to .env: ${names.join(", ")}`);
  } catch (error) {
    // The run has its answers all the same.
    if (!(error instanceof UsageError)) throw error;
    say(`Not saved: ${error.message}`);
    for (const line of error.todo) say(`  ${line}`);
  }
}
