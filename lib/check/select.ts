import { UsageError } from "../errors.ts";
import type { Check } from "./check.ts";

/** Which checks are asked for; each word names a check, or a group of them, or several separated by commas. */
export interface Selection {
  /** These alone; all of them when it is empty. */
  readonly only: readonly string[];
  /** But not these. */
  readonly skip: readonly string[];
}

/**
 * The checks that are asked for, in their own order.
 * @throws {UsageError} for a name that no check has, with those there are; when none is left
 */
export function selectChecks(checks: readonly Check[], { only, skip }: Selection): Check[] {
  const wanted = wordsIn(only);
  const unwanted = wordsIn(skip);
  const unknown = [...wanted, ...unwanted].filter((word) => !checks.some((check) => isNamed(check, word)));
  if (only.length > 0 && wanted.length === 0) {
    throw new UsageError({
      what: `--only ${only.join(" ")} names no check`,
      todo: ["Use one of these; what stands before a slash means all that begin with it:", ...lines(checks)],
    });
  }
  if (unknown.length > 0) {
    throw new UsageError({
      what: `There is no check called ${unknown.map((word) => `"${word}"`).join(", ")}`,
      todo: ["Use one of these; what stands before a slash means all that begin with it:", ...lines(checks)],
    });
  }
  const selected = checks.filter(
    (check) =>
      (wanted.length === 0 || wanted.some((word) => isNamed(check, word))) &&
      !unwanted.some((word) => isNamed(check, word)),
  );
  if (selected.length > 0) return selected;
  throw new UsageError({ what: "No check is left", todo: ["Name fewer checks with --skip"] });
}

function wordsIn(given: readonly string[]): string[] {
  return given.flatMap((each) => each.split(",")).flatMap((word) => word.trim() || []);
}

function isNamed({ name }: Check, word: string): boolean {
  return name === word || name.startsWith(`${word}/`);
}

function lines(checks: readonly Check[]): string[] {
  const groups = new Map<string, string[]>();
  for (const { name } of checks) {
    const [group = name] = name.split("/");
    groups.set(group, [...(groups.get(group) ?? []), name]);
  }
  return [...groups.values()].map((names) => `${names.join(", ")}`);
}
