import { SETTING_NAMES, type SettingName, specOf } from "../config/index.ts";
import type { CommandShape } from "./command.ts";
import { COMMON_FLAGS, type FlagSpecs } from "./flags.ts";

/** How a command is called, without its flags. */
export function usageOf({ name, positionals = [] }: CommandShape): string {
  return ["npx tsx", `tasks/${name}.ts`, ...positionals.map((each) => each.name)].join(" ");
}

/** The text of --help: what it does, its arguments, flags and settings, all from the command's own declaration. */
export function helpOf(command: CommandShape): string {
  const { name, summary, positionals = [], flags = {}, uses = [] } = command;
  const needs = [...(command.requires ?? []), ...(command.demands?.([]) ?? [])];
  const words = positionals.map((each) => ` ${each.name}`).join("");
  return [
    summary,
    "",
    "Usage",
    `  npx tsx tasks/${name}.ts${words} [flags]`,
    `  npm run ${name} --${words} [flags]`,
    ...section(
      "Arguments",
      positionals.map((each) => [each.name, each.about]),
    ),
    ...section("Flags", [...flagRows(flags), ...flagRows(COMMON_FLAGS)]),
    ...section("Settings it needs", settingRows(needs)),
    ...section("Settings it uses", settingRows(uses.filter((each) => !needs.includes(each)))),
    "",
  ].join("\n");
}

function flagRows(flags: FlagSpecs): [string, string][] {
  return Object.entries(flags).map(([name, { value, about, multiple }]) => [
    `--${name}${value === undefined ? "" : ` ${value}`}`,
    multiple ? `${about} (may be repeated)` : about,
  ]);
}

/** Each once, in the order of .env.example. */
function settingRows(names: readonly SettingName[]): [string, string][] {
  return SETTING_NAMES.filter((name) => names.includes(name)).map((name) => {
    const { about, fallback } = specOf(name);
    return [name, fallback === undefined ? about : `${about} (default ${fallback})`];
  });
}

function section(title: string, rows: readonly (readonly [string, string])[]): string[] {
  if (rows.length === 0) return [];
  const width = Math.max(...rows.map(([left]) => left.length));
  return ["", title, ...rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`)];
}
