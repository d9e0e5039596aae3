import { chmodSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** Between two looks at what runs and what lies in the temporary folder. */
const EVERY_MS = 25;

/** What somebody who looks over our shoulder sees of secrets while tasks run. */
export class Onlooker {
  readonly #secrets: ReadonlyMap<string, readonly string[]>;
  readonly #temporary: string;
  readonly #seen = new Set<string>();
  #looks = 0;
  #over = false;
  #watching: Promise<void> | undefined;

  /**
   * @param secrets by name; each is looked for as it is and in the encodings that hide it from a plain search
   * @param temporary the folder for temporary files of the tasks
   */
  constructor(secrets: Readonly<Record<string, string>>, temporary: string) {
    this.#secrets = new Map(Object.entries(secrets).map(([name, text]) => [name, formsOf(text)]));
    this.#temporary = temporary;
  }

  /** Look at the arguments of all processes, and at files that others could read, until it is stopped. */
  start(): void {
    this.#watching = (async () => {
      while (!this.#over) {
        this.#look();
        await sleep(EVERY_MS);
      }
    })();
  }

  /** What was seen so far, and how often it looked. */
  async stop(): Promise<{ readonly seen: readonly string[]; readonly looks: number }> {
    this.#over = true;
    await this.#watching;
    return { seen: [...this.#seen], looks: this.#looks };
  }

  /** The secrets that are in a text, with the place. */
  in(place: string, text: string): string[] {
    return [...this.#secrets].flatMap(([name, forms]) =>
      forms.some((form) => text.includes(form)) ? [`${name} in ${place}`] : [],
    );
  }

  #look(): void {
    this.#looks += 1;
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      const line = textOf(join("/proc", pid, "cmdline"));
      for (const found of this.in(`the arguments of ${line.split("\0")[0]}`, line)) this.#seen.add(found);
    }
    for (const path of openTo(this.#temporary)) this.#seen.add(`${path} can be read by others`);
  }
}

function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const core = bytes.toString("base64").slice(0, -4);
  return [
    secret,
    encodeURIComponent(secret),
    JSON.stringify(secret).slice(1, -1),
    core,
    bytes.toString("base64url").slice(0, -4),
    bytes.toString("hex"),
  ];
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    // It has ended, or is gone.
    return "";
  }
}

/** The files below a folder that others can reach and read; sockets and links are no files. */
export function openTo(folder: string): string[] {
  const found: string[] = [];
  const look = (path: string): void => {
    let names: string[];
    try {
      if ((lstatSync(path).mode & 0o011) === 0) return;
      names = readdirSync(path);
    } catch {
      return;
    }
    for (const name of names) {
      const inner = join(path, name);
      const stat = lstatSync(inner, { throwIfNoEntry: false });
      if (stat?.isDirectory()) look(inner);
      else if (stat?.isFile() && (stat.mode & 0o044) !== 0) found.push(inner);
    }
  };
  look(folder);
  return found;
}

/** Every file below a folder with its text. */
export function* texts(folder: string, leaveOut: RegExp): Generator<readonly [path: string, text: string]> {
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile() && !leaveOut.test(path)) yield [path, readFileSync(path, "latin1")];
  }
}

/**
 * A folder for PATH in which `bash`, which starts all our children, notes what it was told to run.
 * @returns the file with everything that it was told
 */
export function noteCommands(folder: string): string {
  const log = join(folder, "commands");
  mkdirSync(join(folder, "bin"), { recursive: true });
  writeFileSync(log, "");
  const bash = join(folder, "bin", "bash");
  writeFileSync(bash, `#!/bin/sh\nprintf '%s\\0' "$@" >>'${log}'\nexec /bin/bash "$@"\n`);
  chmodSync(bash, 0o755);
  return log;
}
