import { cp, readdir, readFile, writeFile } from "node:fs/promises";
import { join, posix } from "node:path";
import { TaskError } from "../errors.ts";
import { childEnv, run } from "../process.ts";

/** A folder that Packer builds from. */
export interface PackerDirectory {
  /** Relative to the repository, with slashes. */
  readonly path: string;
  /** The plugins it names, without "packer-plugin-": "qemu". */
  readonly plugins: readonly string[];
}

/** How Packer is asked. */
export interface PackerCheck {
  readonly program: string;
  readonly signal?: AbortSignal;
}

/**
 * The folders below packer/ that have a source of their own; those with shared files alone are no builds.
 * @param root the repository's folder
 */
export async function packerDirectories(root: string): Promise<PackerDirectory[]> {
  const found: PackerDirectory[] = [];
  const walk = async (path: string): Promise<void> => {
    const entries = await readdir(join(root, path), { withFileTypes: true }).catch(() => []);
    const files = entries.filter((entry) => entry.isFile() && entry.name.endsWith(".pkr.hcl"));
    const texts = await Promise.all(files.map(({ name }) => readFile(join(root, path, name), "utf8")));
    if (texts.some((text) => /^source "/m.test(text))) {
      const plugins = texts.flatMap((text) =>
        [...text.matchAll(/^\s*source\s*=\s*"github\.com\/hashicorp\/([\w-]+)"/gm)].map(
          ([, name = ""]) => name,
        ),
      );
      found.push({ path, plugins });
    }
    for (const entry of entries) if (entry.isDirectory()) await walk(posix.join(path, entry.name));
  };
  await walk("packer");
  return found;
}

/**
 * The HCL files below a folder that `packer fmt` would write differently.
 * @returns paths as Packer prints them
 * @throws {TaskError} when one cannot be parsed
 */
export async function unformattedPacker(
  directory: string,
  { program, signal }: PackerCheck,
): Promise<string[]> {
  const args = ["fmt", "-check", "-recursive", "."];
  const { stdout, stderr, exitCode } = await run(program, args, {
    cwd: directory,
    env: packerCheckEnv("/nowhere", {}),
    // 3: something would be written differently.
    allow: [0, 1, 2, 3],
    ...(signal === undefined ? {} : { signal }),
  });
  if (exitCode !== 0 && exitCode !== 3) {
    throw new TaskError({
      what: `The HCL in ${directory} cannot be read`,
      why: readable(`${stdout}\n${stderr}`),
      todo: ["Mend the syntax"],
    });
  }
  return stdout.split("\n").filter((line) => line !== "");
}

/**
 * What Packer finds wrong with a folder.
 * @param pluginPath the folder with the installed plugins
 * @param variables values for those without a default
 * @returns its words; undefined when all is well
 */
export async function validatePacker(
  directory: string,
  pluginPath: string,
  variables: Readonly<Record<string, string>>,
  { program, signal }: PackerCheck,
): Promise<string | undefined> {
  const { stdout, stderr, exitCode } = await run(program, ["validate", "."], {
    cwd: directory,
    env: packerCheckEnv(pluginPath, variables),
    allow: [0, 1],
    ...(signal === undefined ? {} : { signal }),
  });
  return exitCode === 0 ? undefined : readable(`${stdout}\n${stderr}`);
}

/**
 * Copy a folder with Packer's own null builder in place of its source: everything in it can then be validated but the
 * settings that its plugin alone knows.
 * @param folder a private one, for the copy
 */
export async function withoutPlugin(directory: string, folder: string): Promise<string> {
  const copy = join(folder, "without-plugin");
  // The files shared by builders are links into the folder above.
  await cp(directory, copy, { recursive: true, dereference: true });
  for (const name of (await readdir(copy)).filter((each) => each.endsWith(".pkr.hcl"))) {
    const file = join(copy, name);
    const text = await readFile(file, "utf8");
    await writeFile(
      file,
      text
        .replace(/^ {2}required_plugins \{\n[\s\S]*?^ {2}\}\n/m, "")
        .replace(
          /^source "[\w-]+" "(\w+)" \{\n[\s\S]*?^\}\n/gm,
          'source "null" "$1" {\n  communicator = "none"\n}\n',
        )
        .replace(/\bsource\.[\w-]+\.(\w+)/g, "source.null.$1"),
    );
  }
  return copy;
}

function packerCheckEnv(pluginPath: string, variables: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const env = childEnv({
    CHECKPOINT_DISABLE: "1",
    PACKER_NO_COLOR: "1",
    PACKER_PLUGIN_PATH: pluginPath,
  });
  for (const [name, value] of Object.entries(variables)) env[`PKR_VAR_${name}`] = value;
  return env;
}

function readable(text: string): string {
  return text.replace(/\n{3,}/g, "\n\n").trim();
}
