import { messageOf, UsageError } from "../errors.ts";
import { registerSecret } from "../secrets.ts";
import { type SettingName, type Settings, specOf } from "./schema.ts";
import type { Source } from "./sources.ts";

/**
 * Find, check and parse the settings of a task.
 * @param required those it cannot do without
 * @param optional those it uses when they are given
 * @param sources the strongest first
 * @throws {UsageError} naming every setting that is missing or malformed
 */
export async function loadSettings<const Required extends SettingName, const Optional extends SettingName>(
  required: readonly Required[],
  optional: readonly Optional[],
  sources: readonly Source[],
): Promise<Settings<Required, Optional>> {
  const values: Partial<Record<SettingName, unknown>> = {};
  const problems: Problem[] = [];

  for (const name of new Set<SettingName>([...required, ...optional])) {
    const { fallback, secret, parse } = specOf(name);
    const given = find(name, sources);
    const isRequired = required.some((each) => each === name);
    const text = given?.text ?? fallback;
    if (text === undefined) {
      if (isRequired) problems.push({ name, reason: "is missing" });
      continue;
    }
    if (secret) registerSecret(text);
    try {
      values[name] = parse(text);
    } catch (error) {
      problems.push({ name, reason: `is not valid: ${messageOf(error)}`, from: given?.source });
    }
  }
  if (problems.length > 0) throw problem(problems);
  return values as Settings<Required, Optional>;
}

interface Problem {
  readonly name: SettingName;
  readonly reason: string;
  readonly from?: string | undefined;
}

/** An empty value counts as not given: a copied .env.example has many of them. */
function find(name: SettingName, sources: readonly Source[]): { text: string; source: string } | undefined {
  for (const { name: source, values } of sources) {
    const text = values[name]?.trim();
    if (text) return { text, source };
  }
  return undefined;
}

function problem(problems: readonly Problem[]): UsageError {
  const [first] = problems;
  const what =
    problems.length === 1 && first
      ? `${first.name} ${first.reason}`
      : `${problems.length} settings need attention`;
  return new UsageError({
    what,
    why: problems
      .map(({ name, reason, from }) => {
        const { about } = specOf(name);
        const lead = problems.length === 1 ? `It is the ${about}` : `${name} ${reason}. It is the ${about}`;
        return from === undefined ? lead : `${lead} (taken from ${from})`;
      })
      .join("\n"),
    todo: [
      ...problems.flatMap(({ name }) => {
        const { where, example } = specOf(name);
        return [
          `Set it in .env: ${name}=${example}`,
          ...(where === undefined ? [] : [`  Where to get it: ${where}`]),
        ];
      }),
      ".env.example explains every setting; --sandbox needs none of them",
    ],
  });
}
