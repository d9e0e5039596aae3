import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { loadSettings, type SettingName, type Source, specOf } from "../../../lib/config/index.ts";
import { messageOf, UsageError } from "../../../lib/errors.ts";
import { formatFailure } from "../../../lib/task/failure.ts";
import { hostileValues } from "./values.ts";

/** Settings that name a file: it has to be there. */
const FILES: readonly SettingName[] = ["PM_TLS_CA", "PM_SSH_CONFIG", "SSH_PUBLIC_KEY_FILE"];
/** So many bytes does the name of a file have at most. */
const NAME_BYTES = 255;

/** So many of a secret's values are loaded; the others are parsed alone: each that is loaded is redacted from then on. */
const SECRETS_LOADED = 10;

/** What became of the values that a setting was tried with. */
export interface Tried {
  readonly count: number;
  /** Those that were taken, as the tasks get them, each once. */
  readonly taken: readonly string[];
  readonly refused: number;
  /** What went wrong otherwise: neither taken nor refused with a message that says what is wrong with which setting. */
  readonly faults: readonly string[];
}

/** Try a setting with hostile values, as a person gives them. */
export async function trySetting(name: SettingName, salt: number, folder: string): Promise<Tried> {
  const values = hostileValues(specOf(name).example, salt);
  const texts = FILES.includes(name) ? files(values, folder) : values;
  const taken = new Set<string>();
  const faults: string[] = [];
  let refused = 0;
  const { secret, parse } = specOf(name);
  for (const [at, text] of texts.entries()) {
    if (secret && at >= SECRETS_LOADED) {
      try {
        taken.add(String(parse(text.trim())));
      } catch (error) {
        refused += 1;
        const said = messageOf(error);
        if (!/^it must /.test(said) || (text.length > 3 && said.includes(text))) faults.push(said);
      }
      continue;
    }
    const source: Source = { name: "the test", values: { [name]: text } };
    try {
      const settings: Partial<Record<SettingName, unknown>> = await loadSettings([], [name], [source]);
      // An empty text is no value: what has a default gets that.
      if (settings[name] !== undefined) taken.add(String(settings[name]));
    } catch (error) {
      refused += 1;
      const fault = faultOf(name, text, error);
      if (fault !== undefined) faults.push(`${JSON.stringify(text).slice(0, 200)}: ${fault}`);
    }
  }
  return { count: texts.length, taken: [...taken], refused, faults };
}

/** Paths of files with such names; they are there where the system takes the name. */
function files(values: readonly string[], folder: string): string[] {
  mkdirSync(folder, { recursive: true });
  return values.map((value) => {
    let name = value.replaceAll("/", "");
    while (Buffer.byteLength(name) > NAME_BYTES) name = name.slice(0, -1);
    const file = join(folder, name);
    try {
      writeFileSync(file, rootCertificates[0] ?? "");
    } catch {
      // Then the setting has to refuse it.
    }
    return file;
  });
}

function faultOf(name: SettingName, text: string, error: unknown): string | undefined {
  if (!(error instanceof UsageError)) return `an error that is none of ours: ${messageOf(error)}`;
  const { what } = error;
  if (!what.startsWith(`${name} `)) return `the message does not name it: ${what}`;
  const shown = formatFailure(error, { color: false, verbose: false });
  if (/[^\P{Cc}\n\t]/u.test(shown)) return "there are control characters in the message";
  const isSecret = specOf(name).secret === true;
  return isSecret && text.trim().length > 3 && what.includes(text.trim())
    ? "the message tells it"
    : undefined;
}
