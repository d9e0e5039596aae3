import { messageOf, UsageError } from "../errors.ts";
import { registerSecret } from "../secrets.ts";
import { ALTERNATIVES, type SettingName, type Settings, specOf } from "./schema.ts";
import { COMMAND_LINE, ENVIRONMENT, type Source } from "./sources.ts";

/**
 * Find, check and parse the settings of a task.
 * @param required those it cannot do without
 * @param optional those it uses when they are given
 * @param sources the strongest first
 * @param demanded those of the optional ones that this run cannot do without
 * @throws {UsageError} naming every setting that is missing or malformed
 */
export async function loadSettings<const Required extends SettingName, const Optional extends SettingName>(
  required: readonly Required[],
  optional: readonly Optional[],
  sources: readonly Source[],
  demanded: readonly NoInfer<Optional>[] = [],
): Promise<Settings<Required, Optional>> {
  const values: Partial<Record<SettingName, unknown>> = {};
  const names = new Set<SettingName>([...required, ...optional]);
  const problems = conflicts(names, sources);

  for (const name of names) {
    const { fallback, secret, parse } = specOf(name);
    const given = find(name, sources);
    const isRequired = [...required, ...demanded].some((each) => each === name);
    const text = given?.text ?? fallback;
    if (text === undefined) {
      if (isRequired) problems.push(problemOf(name, "is missing"));
      continue;
    }
    const placeholder = placeholderIn(text);
    if (placeholder !== undefined) {
      const { place = given?.source } = given ?? {};
      problems.push(problemOf(name, `still says ${placeholder}`, given?.source, place));
      continue;
    }
    if (secret) registerSecret(text);
    try {
      values[name] = parse(text);
    } catch (error) {
      problems.push(problemOf(name, `is not valid: ${messageOf(error)}`, given?.source));
    }
  }
  if (problems.length > 0) throw together(problems);
  return values as Settings<Required, Optional>;
}

/** The settings that no source gives, and that have no default. */
export function missingSettings(required: readonly SettingName[], sources: readonly Source[]): SettingName[] {
  return required.filter(
    (name) => specOf(name).fallback === undefined && givenText(name, sources) === undefined,
  );
}

/** The text of a setting as the strongest source has it; undefined when none has. */
export function givenText(name: SettingName, sources: readonly Source[]): string | undefined {
  return find(name, sources)?.text;
}

interface Problem {
  readonly what: string;
  readonly why: readonly string[];
  readonly todo: readonly string[];
}

/** @param place where the value stands to the line, when that is known better than by its source */
function problemOf(name: SettingName, reason: string, from?: string, place = from): Problem {
  const { where, example, flag } = specOf(name);
  return {
    what: `${name} ${reason}`,
    why: [aboutOf(name, place)],
    todo: [
      from === COMMAND_LINE && flag !== undefined
        ? `Give another one: ${flag} ${example}`
        : whereToChange(name, from),
      ...(where === undefined ? [] : [`Where to get it: ${where}`]),
    ],
  };
}

/** The advice that helps: what a weaker place says than the one that gave the value would change nothing. */
function whereToChange(name: SettingName, from: string | undefined): string {
  const { example, tfVar } = specOf(name);
  if (from === ENVIRONMENT) return `Change or unset it in the environment: export ${name}=${example}`;
  const isVariable = from?.endsWith(".tfvars") && tfVar !== undefined;
  return isVariable ? `Change it in ${from}: ${tfVar} = "${example}"` : `Set it in .env: ${name}=${example}`;
}

/** Of settings that stand for each other none is stronger: the person has to say which one is meant. */
function conflicts(names: ReadonlySet<SettingName>, sources: readonly Source[]): Problem[] {
  return ALTERNATIVES.flatMap((alternatives) => {
    const given = alternatives.flatMap((name) => {
      const found = names.has(name) ? find(name, sources) : undefined;
      return found === undefined ? [] : [{ name, source: found.source }];
    });
    if (given.length < 2) return [];
    const all = given.map(({ name }) => name).join(" and ");
    return [
      {
        what: `${all} are set, and only one of them may be`,
        why: given.map(({ name, source }) => aboutOf(name, source)),
        todo: [`Keep one of them: ${given.map(({ name, source }) => `${name} in ${source}`).join(", or ")}`],
      },
    ];
  });
}

function aboutOf(name: SettingName, from?: string): string {
  return `${name}: ${specOf(name).about}${from === undefined ? "" : ` (taken from ${from})`}`;
}

interface Given {
  readonly text: string;
  readonly source: string;
  /** File and line, where they are known. */
  readonly place?: string;
}

/** An empty value counts as not given: a copied .env.example has many of them. */
function find(name: SettingName, sources: readonly Source[]): Given | undefined {
  for (const { name: source, values, places } of sources) {
    const text = values[name]?.trim();
    const place = places?.[name];
    if (text) return { text, source, ...(place === undefined ? {} : { place }) };
  }
  return undefined;
}

/** What somebody copied and did not fill in. */
function placeholderIn(text: string): string | undefined {
  return /\bCHANGEME\b|^TODO$/.exec(text)?.[0];
}

function together(problems: readonly Problem[]): UsageError {
  const [first] = problems;
  const alone = problems.length === 1 ? first : undefined;
  return new UsageError({
    what: alone?.what ?? `${problems.length} settings need attention`,
    why: (alone?.why ?? problems.flatMap(({ what, why }) => [what, ...why])).join("\n"),
    todo: [
      ...problems.flatMap(({ todo }) => todo),
      ".env.example explains every setting; --sandbox needs none of them",
    ],
  });
}
