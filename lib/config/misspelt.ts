import { SETTING_NAMES, type SettingName } from "./schema.ts";

/** More letters than this apart, it is another word. */
const FAR = 2;

/**
 * The setting that somebody meant who wrote another name: one or two letters away, or in small letters.
 * @returns undefined for a setting's own name, and for what resembles none
 */
export function meantSetting(written: string): SettingName | undefined {
  if (SETTING_NAMES.some((name) => name === written)) return undefined;
  let nearest: SettingName | undefined;
  let least = FAR + 1;
  for (const name of SETTING_NAMES) {
    const letters = distance(written.toUpperCase(), name);
    // In a short name two letters are too much of it: EDGE is not ENV.
    if (letters >= least || letters > name.length / 3) continue;
    nearest = name;
    least = letters;
  }
  return nearest;
}

/** How many letters have to be added, left out, changed or swapped with the next to make one word of another. */
function distance(from: string, to: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: to.length + 1 }, (_each, column) => column);
  for (let row = 1; row <= from.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= to.length; column += 1) {
      const same = from[row - 1] === to[column - 1];
      const swapped = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      current[column] = Math.min(
        at(last, column) + 1,
        at(current, column - 1) + 1,
        at(last, column - 1) + (same ? 0 : 1),
        swapped ? at(beforeLast, column - 2) + 1 : Number.POSITIVE_INFINITY,
      );
    }
    [beforeLast, last] = [last, current];
  }
  return at(last, to.length);
}

function at(row: readonly number[], column: number): number {
  return row[column] ?? Number.POSITIVE_INFINITY;
}
