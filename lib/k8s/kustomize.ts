import { TaskError } from "../errors.ts";
import { CommandError, childEnv, run } from "../process.ts";

/** The programs that render manifests. */
export interface Kustomize {
  /** Path of kustomize. */
  readonly program: string;
  /** Path of helm, for kustomizations that inflate charts. */
  readonly helm?: string;
}

/**
 * Render a kustomization.
 * @param copyOf for a copy: its folder, and the one that people know
 * @returns YAML documents
 * @throws {TaskError} in kustomize's own words
 */
export async function kustomizeBuild(
  { program, helm }: Kustomize,
  directory: string,
  signal?: AbortSignal,
  copyOf: readonly [copy: string, original: string] = [directory, directory],
): Promise<string> {
  const charts = helm === undefined ? [] : ["--enable-helm", "--helm-command", helm];
  try {
    const options = { env: childEnv(), ...(signal === undefined ? {} : { signal }) };
    return (await run(program, ["build", directory, ...charts], options)).stdout;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const original = (text: string): string => text.replaceAll(...copyOf);
    const shown = original(directory);
    throw new TaskError({
      what: `${shown} does not render`,
      why: original(error.message),
      todo: ["Mend the manifests; the same by hand:", `$ kustomize build --enable-helm ${shown}`],
      left: ["Nothing was changed"],
      cause: error,
    });
  }
}
