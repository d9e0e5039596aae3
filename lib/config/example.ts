import { SETTING_NAMES, type SettingName, specOf } from "./schema.ts";

const HEADER = `# Settings of the tasks. Copy this file to .env (chmod 600 .env) and fill in what you need; .env is not in Git.
# Flags beat the environment, the environment beats this file, this file beats the .tfvars files.
# The sandbox (--sandbox) needs none of them.
`;

/** The text of .env.example, made from the schema. A test keeps the file equal to it. */
export function renderEnvExample(): string {
  const blocks = [...namesByGroup()].map(
    ([group, names]) =>
      `# --- ${group} ${"-".repeat(Math.max(3, 100 - group.length))}\n\n${names.map(entry).join("\n")}`,
  );
  return `${HEADER}\n${blocks.join("\n")}`;
}

function namesByGroup(): Map<string, SettingName[]> {
  const groups = new Map<string, SettingName[]>();
  for (const name of SETTING_NAMES) {
    const { group } = specOf(name);
    groups.set(group, [...(groups.get(group) ?? []), name]);
  }
  return groups;
}

function entry(name: SettingName): string {
  const { about, where, example, fallback } = specOf(name);
  const lines = [`# ${about[0]?.toUpperCase()}${about.slice(1)}.`];
  if (where !== undefined) lines.push(`# Where to get it: ${where}.`);
  lines.push(
    fallback === undefined ? `# Example: ${example}` : `# Default: ${fallback}; example: ${example}`,
  );
  lines.push(fallback === undefined ? `${name}=` : `#${name}=${fallback}`);
  return `${lines.join("\n")}\n`;
}
