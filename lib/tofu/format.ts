import { run } from "../process.ts";
import { tofuEnv } from "./child-environment.ts";
import { tofuFailure } from "./diagnostics.ts";

/** What `unformatted` looks at. */
export interface FormatOptions {
  readonly program: string;
  readonly cliConfigFile: string;
  /** Its folders are looked at too. */
  readonly directory: string;
  readonly signal?: AbortSignal;
}

/**
 * The HCL files that `tofu fmt` would write differently, relative to the directory; none when all is well.
 * @throws {TaskError} when a file cannot be parsed
 */
export async function unformatted({
  program,
  cliConfigFile,
  directory,
  signal,
}: FormatOptions): Promise<string[]> {
  const { stdout, stderr, exitCode } = await run(program, ["fmt", "-check", "-recursive", "-no-color"], {
    cwd: directory,
    env: tofuEnv({ cliConfigFile }),
    // 3: something would be written differently.
    allow: [0, 1, 2, 3],
    ...(signal === undefined ? {} : { signal }),
  });
  if (exitCode !== 0 && exitCode !== 3)
    throw tofuFailure(`The HCL in ${directory} cannot be read`, [], stderr);
  return stdout.split("\n").filter((line) => line !== "");
}
