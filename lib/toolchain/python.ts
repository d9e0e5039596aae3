import { join } from "node:path";
import { messageOf } from "../errors.ts";
import { run } from "../process.ts";
import { which } from "../which.ts";
import type { PythonPackage } from "./tool.ts";

export interface InstallOptions {
  /** An empty folder, which the environment stays in. */
  readonly folder: string;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((line: string) => void) | undefined;
}

/**
 * Install a program that is published as a Python package, into a virtual environment of its own. pip compares what it
 * downloads with the checksums of the package index; no package runs code of its own to be installed.
 * @returns the program's path in the folder
 * @throws {Error} saying why it could not be had
 */
export async function installPackages(
  { packages, program }: PythonPackage,
  { folder, signal, onProgress }: InstallOptions,
): Promise<string> {
  const python = await which("python3");
  if (python === undefined) throw new Error("python3 is not on PATH");
  const options = { ...(signal === undefined ? {} : { signal }) };
  try {
    onProgress?.("making a Python environment");
    await run(python, ["-m", "venv", folder], options);
  } catch (error) {
    throw new Error(`python3 makes no virtual environment: ${messageOf(error)}`);
  }
  const pip = [
    ...["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"],
    ...["--no-deps", "--only-binary=:all:"],
  ];
  onProgress?.(`pip install ${packages.join(" ")}`);
  try {
    await run(join(folder, "bin", "python3"), [...pip, ...packages], options);
  } catch (error) {
    signal?.throwIfAborted();
    throw new Error(`pip install failed: ${messageOf(error)}`);
  }
  return join("bin", program);
}
