import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { UsageError } from "../errors.ts";
import { meantSetting } from "./misspelt.ts";
import { SETTING_NAMES, specOf } from "./schema.ts";
import { parseTfvars } from "./tfvars.ts";

/** Values by setting name, as text, from one place. */
export interface Source {
  /** Where they come from, for messages: "the environment", ".env". */
  readonly name: string;
  readonly values: Readonly<Record<string, string | undefined>>;
  /** The file and line of each, where there are: ".env:7". */
  readonly places?: Readonly<Record<string, string>>;
  /** The variables of OpenTofu that it gives a value, whether they are settings or not. */
  readonly variables?: ReadonlySet<string>;
}

/** The name of the source that flags make; a test of lib/task keeps it equal to the one there. */
export const COMMAND_LINE = "the command line";
/** The name of the source that the process has from its parent. */
export const ENVIRONMENT = "the environment";

/**
 * Read the places settings come from, the strongest first: environment, .env, the environment's terraform.tfvars,
 * globals.tfvars (flags beat them all).
 * @param root the repository's folder
 * @param notice told what a person should mend: a .env that others can read, a name in it that nearly is a setting's
 * @param flags what the command line gives
 * @param broken told of a file that cannot be read as what it should be, which then gives nothing; it throws by default
 * @throws {UsageError} for a file that cannot be read as what it should be
 */
export async function readSources(
  root: string,
  notice: (line: string) => void = () => {},
  flags: Source["values"] = {},
  broken: (error: UsageError) => void = (error) => {
    throw error;
  },
): Promise<Source[]> {
  const orNothing = async (reading: Promise<Omit<Source, "name">>): Promise<Omit<Source, "name">> =>
    await reading.catch((error: unknown) => {
      if (!(error instanceof UsageError)) throw error;
      broken(error);
      return { values: {} };
    });
  const outside: Source[] = [
    { name: ENVIRONMENT, values: process.env },
    { name: ".env", ...(await orNothing(readDotenv(join(root, ".env"), notice))) },
  ];
  const files = [...environmentFile([{ name: COMMAND_LINE, values: flags }, ...outside]), GLOBALS];
  const values = await Promise.all(
    files.map(async (name) => ({ name, ...(await orNothing(readTfvars(root, name))) })),
  );
  return [...outside, ...values];
}

const GLOBALS = "terraform/globals.tfvars";

/** Where an environment's own values lie; nowhere when its name is none, which is told where it is needed. */
function environmentFile(sources: readonly Source[]): string[] {
  const { fallback = "", parse } = specOf("ENV");
  const text = sources.map(({ values }) => values.ENV?.trim()).find(Boolean) ?? fallback;
  try {
    return [`terraform/envs/${parse(text)}/terraform.tfvars`];
  } catch {
    return [];
  }
}

async function readDotenv(file: string, notice: (line: string) => void): Promise<Omit<Source, "name">> {
  const text = await readIfThere(file);
  if (text === undefined) return { values: {} };
  const { mode } = await stat(file);
  if ((mode & 0o077) !== 0) notice(`${file} can be read by others: chmod 600 ${file}`);
  const { parse } = await import("dotenv");
  const values = parse(text);
  for (const written of Object.keys(values)) {
    const meant = meantSetting(written);
    if (meant !== undefined) notice(`${written} in .env is no setting; did you mean ${meant}?`);
  }
  const lines = linesByName(text);
  const places = Object.keys(values).map((written) => [written, `.env:${lines.get(written) ?? 1}`]);
  return { values, places: Object.fromEntries(places) };
}

async function readTfvars(root: string, path: string): Promise<Omit<Source, "name">> {
  const file = join(root, path);
  const text = await readIfThere(file);
  if (text === undefined) return { values: {} };
  const variables = parseTfvars(text);
  const lines = linesByName(text);
  const values: Record<string, string> = {};
  const places: Record<string, string> = {};
  for (const name of SETTING_NAMES) {
    const { tfVar, secret } = specOf(name);
    if (tfVar === undefined || variables[tfVar] === undefined) continue;
    if (secret) {
      throw new UsageError({
        what: `${tfVar} does not belong in ${file}`,
        why: "It is a secret, and this file is handed to tools as it is",
        todo: [`Move it to .env as ${name}=…`],
      });
    }
    values[name] = variables[tfVar];
    places[name] = `${path}:${lines.get(tfVar) ?? 1}`;
  }
  return { values, places, variables: new Set(lines.keys()) };
}

/** The line of each name's last assignment, which is the one that counts. */
function linesByName(text: string): Map<string, number> {
  return new Map(
    text.split("\n").flatMap((line, index): [string, number][] => {
      const [, name] = /^\s*(?:export\s+)?([A-Za-z_][\w-]*)\s*=/.exec(line) ?? [];
      return name === undefined ? [] : [[name, index + 1]];
    }),
  );
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new UsageError({
      what: `${file} cannot be read`,
      why: (error as Error).message,
      todo: ["See whose it is, and who may read it:", `$ ls -l ${file}`],
      cause: error,
    });
  }
}
